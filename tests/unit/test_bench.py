"""The command line of the benchmarks."""

from bench.__main__ import PARTS, build_parser


def test_help_says_what_every_part_measures_and_shows_examples() -> None:
    said = build_parser().format_help()
    for name, part in PARTS.items():
        assert part.__doc__
        assert f"  {name:<12} {part.__doc__.splitlines()[0]}\n" in said
    assert "examples:\n  deepsing bench --quick\n" in said


def test_the_examples_of_help_are_commands_of_parts_that_exist() -> None:
    examples = [line.split()[2:] for line in (build_parser().epilog or "").splitlines() if "deepsing bench" in line]
    assert len(examples) == 3
    for example in examples:
        assert set(build_parser().parse_args(example).parts) <= set(PARTS)
