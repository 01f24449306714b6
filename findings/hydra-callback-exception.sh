#!/usr/bin/env bash
# hydra-core: an exception in a callback becomes a warning, and the job runs all the same.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet hydra-core==1.4.0rc3
cd "$folder"
mkdir conf
cat > checks.py <<'PYTHON'
from hydra.experimental.callback import Callback


class FreeDisk(Callback):
    def on_run_start(self, config, **kwargs):
        raise RuntimeError("the disk is full")


class Absent(Callback):
    def on_job_start(self, config, **kwargs):
        raise SystemExit("the data are not there")
PYTHON
cat > job.py <<'PYTHON'
import hydra


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    print("the job runs")


if __name__ == "__main__":
    main()
PYTHON
printf 'hydra:\n  callbacks:\n    check:\n      _target_: checks.FreeDisk\n' > conf/config.yaml
export PYTHONPATH=$folder
"$folder/venv/bin/python" -c 'import hydra; print("hydra-core", hydra.__version__)'

code=0; "$folder/venv/bin/python" job.py > out 2> err || code=$?
echo "RuntimeError in on_run_start: exit code $code, output: $(cat out)"
grep -h "FreeDisk" err
[ "$code" = 0 ]
grep -q "the job runs" out
grep -q "FreeDisk.*on_run_start.*the disk is full" err

code=0; "$folder/venv/bin/python" job.py hydra.callbacks.check._target_=checks.Absent > out 2> err || code=$?
echo "SystemExit in on_job_start: exit code $code, output: $(cat out)"
[ "$code" = 1 ]
[ ! -s out ]
# Seen: a callback that checks whether a job may start cannot stop it with an exception, which Hydra only warns about.
# Only SystemExit, which is no Exception, ends it.
