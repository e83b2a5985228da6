"""What each option and variable turns into, alone and against the others."""

from __future__ import annotations

import dataclasses
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rbinder.config import Config, from_arguments
from rbinder.errors import UsageError

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


def config_of(words: str = "", environ: dict[str, str] | None = None, terminal: bool = False) -> Config:
    config, warnings = from_arguments([*words.split(), "true"], environ or {}, terminal)
    assert warnings == []
    return config


def warned(environ: dict[str, str], words: str = "") -> tuple[Config, str]:
    """The Config and the one warning that `environ` leads to."""
    config, warnings = from_arguments([*words.split(), "true"], environ, False)
    assert len(warnings) == 1
    return config, warnings[0]


def test_nothing_said_gives_the_defaults() -> None:
    assert config_of() == Config(command=("true",), exporters=("otlp",))


def test_a_config_can_not_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        config_of().engine = "other"  # type: ignore[misc]


FIELDS = [
    ("-e ptrace", {}, "engine", "ptrace"),
    ("-eptrace", {}, "engine", "ptrace"),
    ("--engine ptrace", {}, "engine", "ptrace"),
    ("--engine=ptrace", {}, "engine", "ptrace"),
    ("", {"RBINDER_ENGINE": "ptrace"}, "engine", "ptrace"),
    ("-e auto", {"RBINDER_ENGINE": "ptrace"}, "engine", "auto"),
    ("-e auto", {"RBINDER_ENGINE": "gone"}, "engine", "auto"),
    ("-e auto -e ptrace", {}, "engine", "ptrace"),
    ("-s shop", {}, "service_name", "shop"),
    ("--service-name=a=b", {}, "service_name", "a=b"),
    ("", {"OTEL_SERVICE_NAME": "otel"}, "service_name", "otel"),
    ("", {"OTEL_SERVICE_NAME": "otel", "RBINDER_SERVICE_NAME": "own"}, "service_name", "own"),
    ("-s shop", {"OTEL_SERVICE_NAME": "otel", "RBINDER_SERVICE_NAME": "own"}, "service_name", "shop"),
    ("", {"OTEL_RESOURCE_ATTRIBUTES": "a=b, service.name = shop%20one ,c=d"}, "service_name", "shop one"),
    ("", {"OTEL_RESOURCE_ATTRIBUTES": "service.name=a", "OTEL_SERVICE_NAME": "b"}, "service_name", "b"),
    ("", {"OTEL_RESOURCE_ATTRIBUTES": "service.namespace=a,nonsense"}, "service_name", ""),
    ("", {"OTEL_SERVICE_NAME": " "}, "service_name", ""),
    ("-q", {}, "verbosity", -1),
    ("-v", {}, "verbosity", 1),
    ("-vv", {}, "verbosity", 2),
    ("-v -v -v", {}, "verbosity", 2),
    ("-qv", {}, "verbosity", 1),
    ("--verbose --quiet", {}, "verbosity", -1),
    ("", {"RBINDER_QUIET": "1"}, "verbosity", -1),
    ("", {"RBINDER_QUIET": "no"}, "verbosity", 0),
    ("", {"RBINDER_VERBOSE": "2"}, "verbosity", 2),
    ("", {"RBINDER_VERBOSE": "true"}, "verbosity", 1),
    ("-q", {"RBINDER_VERBOSE": "2"}, "verbosity", -1),
    ("--no-seccomp", {}, "seccomp", False),
    ("", {"RBINDER_NO_SECCOMP": "on"}, "seccomp", False),
    ("", {"RBINDER_NO_SECCOMP": "0"}, "seccomp", True),
    ("--no-runtime-hooks", {}, "runtime_hooks", False),
    ("", {"RBINDER_NO_RUNTIME_HOOKS": "yes"}, "runtime_hooks", False),
    ("", {}, "runtime_hooks", True),
    ("", {"RBINDER_EXIT_TIMEOUT": "0.5"}, "exit_timeout", 0.5),
    ("", {"RBINDER_EXIT_TIMEOUT": "0"}, "exit_timeout", 0.0),
    ("", {"RBINDER_EXIT_TIMEOUT": ""}, "exit_timeout", 5.0),
    ("--check", {}, "check", True),
    ("", {"OTEL_PROPAGATORS": "b3, B3multi,b3"}, "propagators", ("b3", "b3multi")),
    ("", {"OTEL_PROPAGATORS": "none"}, "propagators", ("none",)),
    ("", {"OTEL_PROPAGATORS": ""}, "propagators", ("tracecontext", "baggage")),
    ("", {"OTEL_TRACES_SAMPLER": "ALWAYS_OFF"}, "sampler", "always_off"),
    ("", {"OTEL_TRACES_SAMPLER_ARG": "nonsense for a sampler without one"}, "sampler_argument", None),
    ("", {"OTEL_TRACES_SAMPLER": "traceidratio"}, "sampler_argument", 1.0),
    ("", {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, "sampler_argument", 0.25),
    ("", {"OTEL_SDK_DISABLED": "True"}, "propagators", ("none",)),
    ("-o out -x console", {"OTEL_SDK_DISABLED": "true"}, "exporters", ()),
    ("", {"OTEL_SDK_DISABLED": "false"}, "exporters", ("otlp",)),
]


@pytest.mark.parametrize(("words", "environ", "name", "value"), FIELDS)
def test_field(words: str, environ: dict[str, str], name: str, value: object) -> None:
    assert getattr(config_of(words, environ), name) == value


EXPORTERS = [
    ("", {}, False, ("otlp",)),
    ("", {}, True, ("console",)),
    ("", ENDPOINT, True, ("otlp",)),
    ("", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c/v1/traces"}, True, ("otlp",)),
    ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, True, ("console",)),
    ("-x console,otlp,Console", {}, False, ("console", "otlp")),
    ("-x none", ENDPOINT, True, ()),
    ("-x none -o out", {}, True, ("file",)),
    ("-o out", {}, True, ("file",)),
    ("-o out", {}, False, ("file",)),
    ("-oout", ENDPOINT, True, ("otlp", "file")),
    ("-o out -x console", {}, False, ("console", "file")),
    ("-o out -x file,otlp", {}, False, ("file", "otlp")),
    ("", {"RBINDER_OUTPUT": "out"}, True, ("file",)),
    ("", {"RBINDER_OUTPUT": "out", "RBINDER_EXPORTER": "file"}, True, ("file",)),
    ("", {"RBINDER_EXPORTER": "console", "OTEL_TRACES_EXPORTER": "otlp"}, False, ("console",)),
    ("-x otlp", {"RBINDER_EXPORTER": "console"}, True, ("otlp",)),
    ("", {"OTEL_TRACES_EXPORTER": "console,otlp"}, False, ("console", "otlp")),
    ("", {"OTEL_TRACES_EXPORTER": "none"}, True, ()),
    ("-o out", {"OTEL_TRACES_EXPORTER": "none"}, True, ("file",)),
    ("-o out", {"OTEL_TRACES_EXPORTER": "console"}, True, ("console", "file")),
    ("", {"OTEL_TRACES_EXPORTER": " , "}, True, ("console",)),
]


@pytest.mark.parametrize(("words", "environ", "terminal", "exporters"), EXPORTERS)
def test_exporters(words: str, environ: dict[str, str], terminal: bool, exporters: tuple[str, ...]) -> None:
    assert config_of(words, environ, terminal).exporters == exporters


COMMANDS = [
    (["ls", "-l", "--engine"], ("ls", "-l", "--engine")),
    (["--", "ls"], ("ls",)),
    (["-v", "--", "--", "-x"], ("--", "-x")),
    (["--", "-strange-name"], ("-strange-name",)),
    (["-", "-q"], ("-", "-q")),
    (["-q", "", "x"], ("", "x")),
    (["-vqsname", "env", "-i", "A=b"], ("env", "-i", "A=b")),
]


@pytest.mark.parametrize(("argv", "command"), COMMANDS)
def test_options_end_where_the_command_starts(argv: list[str], command: tuple[str, ...]) -> None:
    assert from_arguments(argv, {}, False)[0].command == command


@given(st.lists(st.text(), min_size=1))
def test_after_two_dashes_every_word_is_the_commands(words: list[str]) -> None:
    assert from_arguments(["-v", "--", *words], {}, False)[0].command == tuple(words)


@given(st.lists(st.text(alphabet="-=esxoqvh auto", max_size=6)))
def test_any_words_give_a_config_or_a_usage_error(words: list[str]) -> None:
    try:
        config, _ = from_arguments([*words, "--check", "true"], {}, False)
    except UsageError:
        return
    assert config.command == tuple([*words, "--check", "true"][-len(config.command) :] if config.command else ())


USAGE_ERRORS = [
    ([], {}, "no command given"),
    (["-v"], {}, "no command given"),
    (["--"], {}, "no command given"),
    (["-z", "true"], {}, "no option -z"),
    (["-vz", "true"], {}, "no option -z"),
    (["--engin", "ptrace", "true"], {}, "no option --engin"),
    (["--quiet=1", "true"], {}, "--quiet takes no value"),
    (["-e"], {}, "-e needs a value"),
    (["--output=", "true"], {}, "--output needs a value"),
    (["-s", "", "true"], {}, "-s needs a value"),
    (["-e", "bpf", "true"], {}, "no engine 'bpf'; there are auto, agent and ptrace"),
    (["-x", "otlp,zipkin", "true"], {}, "no exporter 'zipkin'"),
    (["-x", ",", "true"], {}, "no exporter"),
    (["-x", "file", "true"], {}, "needs -o FILE"),
    (["true"], {"RBINDER_ENGINE": "bpf"}, "RBINDER_ENGINE: there is no engine 'bpf'"),
    (["true"], {"RBINDER_EXPORTER": "file"}, "RBINDER_EXPORTER"),
    (["true"], {"RBINDER_QUIET": "perhaps"}, "RBINDER_QUIET='perhaps' is neither"),
    (["true"], {"RBINDER_EXIT_TIMEOUT": "5s"}, "RBINDER_EXIT_TIMEOUT='5s'"),
    (["true"], {"RBINDER_EXIT_TIMEOUT": "-1"}, "from 0 on"),
    (["true"], {"RBINDER_EXIT_TIMEOUT": "nan"}, "RBINDER_EXIT_TIMEOUT"),
]


@pytest.mark.parametrize(("argv", "environ", "sentence"), USAGE_ERRORS)
def test_wrong_options_and_twins_are_errors_of_one_sentence(
    argv: list[str], environ: dict[str, str], sentence: str
) -> None:
    with pytest.raises(UsageError) as caught:
        from_arguments(argv, environ, True)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.status == 2


WARNINGS = [
    ({"OTEL_TRACES_EXPORTER": "zipkin"}, "'zipkin'", "exporters", ("otlp",)),
    ({"OTEL_TRACES_EXPORTER": "zipkin,console"}, "'zipkin'", "exporters", ("console",)),
    ({"OTEL_TRACES_EXPORTER": "file"}, "'file'", "exporters", ("otlp",)),
    ({"OTEL_PROPAGATORS": "b3,jaeger"}, "'jaeger'", "propagators", ("b3",)),
    ({"OTEL_PROPAGATORS": "xray"}, "'xray'", "propagators", ("tracecontext", "baggage")),
    ({"OTEL_TRACES_SAMPLER": "jaeger_remote"}, "'jaeger_remote'", "sampler", "parentbased_always_on"),
    ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "2"}, "'2'", "sampler_argument", 1.0),
    ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "nan"}, "'nan'", "sampler_argument", 1.0),
    ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "x"}, "'x'", "sampler", "traceidratio"),
    ({"OTEL_SDK_DISABLED": "1"}, "'1'", "exporters", ("otlp",)),
]


@pytest.mark.parametrize(("environ", "quoted", "name", "value"), WARNINGS)
def test_wrong_sdk_settings_are_one_warning_and_the_default(
    environ: dict[str, str], quoted: str, name: str, value: object
) -> None:
    config, warning = warned(environ)
    assert quoted in warning
    assert getattr(config, name) == value


REPAIRS = [
    ({"OTEL_BSP_MAX_QUEUE_SIZE": "many"}, {"OTEL_BSP_MAX_QUEUE_SIZE": None}),
    ({"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, {"OTEL_BSP_MAX_QUEUE_SIZE": None}),
    ({"OTEL_BSP_SCHEDULE_DELAY": "-5"}, {"OTEL_BSP_SCHEDULE_DELAY": None}),
    ({"OTEL_BSP_EXPORT_TIMEOUT": "1e3"}, {"OTEL_BSP_EXPORT_TIMEOUT": None}),
    ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "٣"}, {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": None}),
    ({"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10000"}, {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8192"}),
    ({"OTEL_SPAN_LINK_COUNT_LIMIT": "x"}, {"OTEL_SPAN_LINK_COUNT_LIMIT": None}),
    ({"OTEL_EXPORTER_OTLP_TIMEOUT": "soon"}, {"OTEL_EXPORTER_OTLP_TIMEOUT": None}),
    ({"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "inf"}, {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": None}),
    ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}),
    ({"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "zstd"}, {"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": None}),
    (
        {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_COMPRESSION": "deflate"},
        {"OTEL_EXPORTER_OTLP_COMPRESSION": None},
    ),
]


@pytest.mark.parametrize(("environ", "repairs"), REPAIRS)
def test_values_the_sdk_would_fail_on_are_repaired_with_a_warning(
    environ: dict[str, str], repairs: dict[str, str | None]
) -> None:
    config, warning = warned(environ)
    assert config.repairs == repairs
    assert next(iter(repairs)) in warning


SILENT_REPAIRS = [
    ({}, {}),
    ({"OTEL_BSP_MAX_QUEUE_SIZE": "4096", "OTEL_EXPORTER_OTLP_TIMEOUT": "2.5"}, {}),
    ({"OTEL_BSP_SCHEDULE_DELAY": ""}, {"OTEL_BSP_SCHEDULE_DELAY": None}),
    ({"OTEL_BSP_SCHEDULE_DELAY": "0"}, {"OTEL_BSP_SCHEDULE_DELAY": "1"}),
    ({"OTEL_BSP_MAX_QUEUE_SIZE": "10"}, {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "10"}),
    ({"OTEL_EXPORTER_OTLP_PROTOCOL": "GRPC"}, {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}),
    ({"OTEL_EXPORTER_OTLP_COMPRESSION": "none"}, {"OTEL_EXPORTER_OTLP_COMPRESSION": None}),
    (
        {"OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "none"},
        {"OTEL_EXPORTER_OTLP_COMPRESSION": None, "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": None},
    ),
]


@pytest.mark.parametrize(("environ", "repairs"), SILENT_REPAIRS)
def test_good_and_empty_values_need_no_warning(environ: dict[str, str], repairs: dict[str, str | None]) -> None:
    assert config_of("", environ).repairs == repairs


@pytest.mark.parametrize("exporter", ["console", "none"])
def test_settings_of_an_exporter_that_is_not_used_are_not_judged(exporter: str) -> None:
    assert config_of(f"-x {exporter}", {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}).repairs == {}


def test_repaired_settings_suit_the_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.sdk.trace import SpanLimits
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    environ = {
        "OTEL_BSP_MAX_QUEUE_SIZE": "10",
        "OTEL_BSP_SCHEDULE_DELAY": "0",
        "OTEL_BSP_EXPORT_TIMEOUT": "",
        "OTEL_SPAN_EVENT_COUNT_LIMIT": "lots",
    }
    config, _ = warned(environ)
    for name, value in (environ | config.repairs).items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert SpanLimits().max_events == 128
    processor = BatchSpanProcessor(InMemorySpanExporter())
    processor.shutdown()  # type: ignore[no-untyped-call]
    assert os.environ["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] == "10"


def test_messages_repeat_no_secret_and_no_control_character() -> None:
    from rbinder.environment import quoted

    assert quoted("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2") == "(not shown)"
    assert quoted("RBINDER_ENGINE", "\x1b[31m\n") == "'\\x1b[31m\\n'"
    assert len(quoted("RBINDER_ENGINE", "x" * 10_000)) < 60
