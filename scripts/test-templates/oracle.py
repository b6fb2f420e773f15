"""Renders chat templates with Python's Jinja2 as Hugging Face sets it up.

Reads {"now": [y, m, d, h, m, s], "templates": {name: source}, "jobs": [[name, variables], ...]} as JSON
from standard input and writes a list of [strict, extended], each {"text": ...} or {"error": ...}.
`extended` is there where only a feature that Hugging Face lacks and we have stood in the way: a list's
append() and pop(), and the filter from_json.
"""
import datetime
import json
import sys

from jinja2 import nodes
from jinja2.exceptions import (
    SecurityError,
    TemplateAssertionError,
    TemplateError,
    TemplateRuntimeError,
)
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment, SandboxedEnvironment


class Generation(Extension):
    """The tag that marks what the assistant wrote; here it only writes its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(
        x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def raise_exception(message):
    raise TemplateError(message)


def environment(kind, now):
    env = kind(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = now.strftime
    return env


def compiled(env, source):
    try:
        return env.from_string(source)
    except Exception as error:
        return error


def render(template, variables):
    try:
        if isinstance(template, Exception):
            raise template
        return {"text": template.render(**variables)}
    except Exception as error:
        name = type(error).__name__
        lacking = isinstance(error, SecurityError) or (
            isinstance(error, (TemplateAssertionError, TemplateRuntimeError))
            and "from_json" in str(error)
        )
        return {"error": f"{name}: {error}"[:300], "lacking": lacking}


def main():
    request = json.load(sys.stdin)
    now = datetime.datetime(*request["now"])
    strict = environment(ImmutableSandboxedEnvironment, now)
    extended = environment(SandboxedEnvironment, now)
    extended.filters["from_json"] = json.loads
    both = {
        name: (compiled(strict, source), compiled(extended, source))
        for name, source in request["templates"].items()
    }
    answers = []
    for name, variables in request["jobs"]:
        first = render(both[name][0], variables)
        second = render(both[name][1], variables) if first.get("lacking") else None
        answers.append([first, second])
    json.dump(answers, sys.stdout)


main()
