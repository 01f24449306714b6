"""What Hydra and OmegaConf say, in the words of one line for whoever typed the command."""


def one_line(error: BaseException) -> str:
    """What Hydra and OmegaConf say over several lines and causes, without what only repeats types or folders."""
    said = str(error).split("Config search path:")[0]
    if error.__cause__ is not None:
        said += f"\n{error.__cause__}"
    lines = [line.strip() for line in said.splitlines()]
    noise = ("object_type=", "reference_type=", "full_key:", "To append to your config", "Error merging", "See http")
    text = " ".join(dict.fromkeys(line for line in lines if line and not line.startswith(noise)))
    key = next((line.removeprefix("full_key:").strip() for line in lines if line.startswith("full_key:")), "")
    return f"{key}: {text}" if key and key not in text else text
