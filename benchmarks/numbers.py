"""Whole numbers read right, and numbers/s: `python benchmarks/numbers.py`. The code is in reading.py.

The standard library has a module of this name, and a script's own folder comes first where Python looks for modules: so
an `import numbers` of any script here finds this file, which hands over to the library's.
"""

if __name__ == "numbers":
    import sys
    import sysconfig
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    spec = spec_from_file_location(__name__, Path(sysconfig.get_path("stdlib"), "numbers.py"))
    assert spec is not None
    assert spec.loader is not None
    sys.modules[__name__] = module_from_spec(spec)
    spec.loader.exec_module(sys.modules[__name__])

if __name__ == "__main__":
    from reading import main

    main()
