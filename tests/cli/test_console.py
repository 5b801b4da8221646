"""What the user sees is what was said."""

from densnet.cli.console import say


def test_brackets_and_colons_in_a_path_stay(capsys):
    for path in ("/tmp/[/bold]/[x]/model.safetensors", "products.cpp:100:5: error", "/tmp/:x:/a"):
        say(f"written: {path}")
        assert path in capsys.readouterr().err
