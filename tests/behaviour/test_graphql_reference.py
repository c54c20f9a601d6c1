"""Our GraphQL parser against the reference implementation's (graphql-core): what ours accepts the reference accepts, with the
same operations, root fields, depth and aliases, and what is printed for the upstream means what was parsed. Over a corpus, and
over documents that were mutated from it."""

import json
import os
import random
import subprocess
from pathlib import Path

import pytest

VERDICT = Path(os.environ.get("PURSER_BUILD", "build")) / "plain/tests/unit/graphql-verdict"
SEED = 20211001
MUTATIONS = 30000

ACCEPTED = [
    "{a}", "query{a}", "query Q{a}", "mutation M{a}", "subscription S{a}", "query Q($a:Int=5,$b:[String!]!){x(a:$a,b:$b)}",
    "{a:b}", "{a:b c:d{e:f}}", "{a(x:1)}", '{a(x:"s")}', '{a(x:"\\u00e9\\uD83D\\uDE00\\n")}', '{a(x:"""block""")}',
    '{a(x:"""\n    one\n      two\n\n    three \\""" four\n  """)}', "{a(x:[1,2 3])}", "{a(x:{k:1,l:{m:[]}})}", "{a(x:E)}",
    "{a(x:true y:false z:null)}", "{a(x:-0)}", "{a(x:0.5e-3,y:1E5,z:-1.25)}", "{a @skip(if:true)}",
    "query($v:Boolean!){a @include(if:$v) @skip(if:false){b}}", "{...{a}}", "{...on T{a}}", "{... @include(if:true){a}}",
    "{...F} fragment F on T{a}", "fragment F on T{a ...G} fragment G on T{b{c}} query Q{...F x{...G}}",
    "query A{a} query B{b{c}} fragment F on T{x}", "\ufeff{a}", "{a,,,b,}", "#c\n{#d\r\na#e\r}", "{type fragment query on true null}",
    "{on:on}", "query query{query}", "query($fragment:on){a(on:$fragment)}", "{a(x:[[]])}", "query($a:T={x:[1]}){a(x:$a)}",
    "{__typename __schema{types{name}} __type(name:\"T\"){name}}", "{a{b{c{d{e{f}}}}}}", '{a(x:"# no comment")}',
    '{a(x:"""# no "quote" comment""")}', '{a(x:"")}', '{a(x:"""""")}', "{\ta\r\n\tb}", '{a(x:"\\"\\\\\\/\\b\\f\\n\\r\\t")}',
    '{a(x:"\u2028\ue000\U0001f600")}', '{a(x:"""\r\n  x\r  y\n""")}', '{a(x:"""\n\n\n""")}', '{a(x:"""  a\n  b""")}',
    "query Q($a:[[Int!]!]!=[[1]]){a(x:$a)}", "query Q($ a : Int){a(x:$ a)}", "{a(x:1e10)}", "{_ __a_ A9}",
]
REFUSED = [
    "", " ", "#", "{}", "{a", "a}", "{a{}}", "{a()}", "{a(x)}", "{a(x:)}", "{a(:1)}", "query", "query Q", "query Q(){a}", "query($a){a}",
    "query($a:){a}", "query($a:Int=$b){a}", "{a(x:01)}", "{a(x:1.)}", "{a(x:.5)}", "{a(x:1e)}", "{a(x:1a)}", "{a(x:0x1)}", "{a(x:-)}",
    "{a(x:+1)}", '{a(x:"a\nb")}', '{a(x:"a)}', '{a(x:"\\x")}', '{a(x:"\\u12")}', '{a(x:"\\uD800")}', '{a(x:"""a)}', "{a(x:'s')}",
    "{...}", "{...on}", "{...on{a}}", "{.. .F}", "fragment F{a}", "fragment on on T{a}", "fragment F on T", "{a}}", "{{a}}", "{a:b:c}",
    "{a @}", "{a @skip(}", "type T{a:Int}", "schema{query:Q}", "extend type T{a:Int}", "scalar S", "directive @d on FIELD", "enum E{A}",
    '"description" type T{a:Int}', "{a(x:[1)}", "{a(x:{1})}", "{a(x:{k:})}", "{a|b}", "{a&b}", "{a!}", "\0{a}", "{a\x01}", "{a(x:\"\x07\")}",
    "{é}", "query Q{a} {", "{a}\x00", "query($a:Int!!){a}", "query($a:[Int){a}", "subscription", "fragment", "{$a}", "{a(x:$)}", "{-1}",
]


def ask(documents):
    data = b"".join(b"%d\n%s" % (len(raw), raw) for raw in documents)
    done = subprocess.run([VERDICT], input=data, capture_output=True, check=True, timeout=300)
    lines = done.stdout.decode().split("\n")[:-1]
    assert len(lines) == len(documents), done.stderr.decode()
    return [json.loads(line) for line in lines]


def mutated(rng, count):
    """Documents a little wrong: pieces of the corpus cut, doubled, exchanged, and spliced into each other."""
    seeds = [text.encode() for text in ACCEPTED]
    grains = [b"{", b"}", b"(", b")", b"...", b"on", b"$", b":", b'"', b'"""', b"\\", b"#", b"\n", b"\r", b",", b"@skip(if:true)", b"[", b"]",
              b"!", b"=", b"0", b"-", b".", b"e", b"null", b"fragment F on T", b"query ", b" ", b"\xef\xbb\xbf", b"\\u0041", b"a", b"&", b"|"]
    for _ in range(count):
        text = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 4)):
            at = rng.randint(0, len(text))
            match rng.randrange(5):
                case 0:
                    text[at:at] = rng.choice(grains)
                case 1:
                    del text[at:at + rng.randint(1, 4)]
                case 2:
                    other = rng.choice(seeds)
                    begin = rng.randint(0, len(other))
                    text[at:at] = other[begin:begin + rng.randint(1, 20)]
                case 3:
                    text[at:at + 1] = rng.choice(grains)
                case _:
                    text += b" " + rng.choice(seeds)
        yield bytes(text)


# What follows runs in the interpreter that has graphql-core.
REFERENCE = r'''
import json, sys
from graphql import parse, print_ast, GraphQLSyntaxError
from graphql.language import ast as A
from graphql.language.block_string import print_block_string

def value(node):
    """A value without how it was written: a block string is the string that it means."""
    kind = node.kind
    if kind == "string_value": return ["s", node.value]
    if kind == "list_value": return ["l", [value(one) for one in node.values]]
    if kind == "object_value": return ["o", [[one.name.value, value(one.value)] for one in node.fields]]
    if kind == "variable": return ["v", node.name.value]
    if kind == "null_value": return ["n"]
    return [kind, node.value]

def arguments(nodes): return [[one.name.value, value(one.value)] for one in nodes or ()]
def directives(nodes): return [[one.name.value, arguments(one.arguments)] for one in nodes or ()]

def selections(node):
    out = []
    for one in (node.selection_set.selections if getattr(node, "selection_set", None) else ()):
        name = getattr(one, "name", None)
        condition = getattr(one, "type_condition", None)
        alias = getattr(one, "alias", None)
        out.append([one.kind, name and name.value, alias and alias.value, condition and condition.name.value,
                    arguments(getattr(one, "arguments", None)), directives(one.directives), selections(one)])
    return out

def definition(one):
    if one.kind == "fragment_definition":
        return ["fragment", one.name.value, one.type_condition.name.value, directives(one.directives), selections(one)]
    variables = [[v.variable.name.value, print_ast(v.type), v.default_value and value(v.default_value), directives(v.directives)]
                 for v in one.variable_definitions or ()]
    return [one.operation.value, one.name and one.name.value, variables, directives(one.directives), selections(one)]

def totals(fragments, node, seen=()):
    """(depth, aliases, roots) with fragments expanded; None for a circle or a fragment that is not there."""
    depth, aliases, roots, count = 0, 0, [], 0
    for one in node.selection_set.selections if node.selection_set else ():
        if one.kind == "field":
            beneath = totals(fragments, one, seen)
            if beneath is None: return None
            depth = max(depth, beneath[0] + 1)
            aliases += beneath[1] + bool(one.alias)
            roots.append(one.name.value)
        else:
            if one.kind == "fragment_spread":
                if one.name.value in seen or one.name.value not in fragments: return None
                beneath = totals(fragments, fragments[one.name.value], (*seen, one.name.value))
            else:
                beneath = totals(fragments, one, seen)
            if beneath is None: return None
            depth = max(depth, beneath[0])
            aliases += beneath[1]
            roots += beneath[2]
        count += beneath[3] + 1
        if count > 20000: return None
    return depth, aliases, roots, count

def look(text):
    try:
        document = parse(text, no_location=True)
    except (GraphQLSyntaxError, RecursionError):
        return None
    fragments = {one.name.value: one for one in document.definitions if one.kind == "fragment_definition"}
    out = []
    for one in document.definitions:
        executable = one.kind in ("operation_definition", "fragment_definition")
        found = totals(fragments, one) if executable else None
        out.append({"definition": definition(one) if executable else None, "totals": found})
    return out

for line in sys.stdin:
    print(json.dumps(look(json.loads(line))), flush=True)
'''


def reference(clients, documents):
    """What graphql-core makes of each; None: it does not parse."""
    data = "".join(json.dumps(text) + "\n" for text in documents)
    done = subprocess.run([clients, "-c", REFERENCE], input=data, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line) for line in done.stdout.split("\n")[:-1]]


def test_what_is_right_is_accepted_and_what_is_wrong_is_not(clients):
    for text, ours in zip(ACCEPTED, ask([text.encode() for text in ACCEPTED])):
        assert ours["valid"], (text, ours)
    for text, ours in zip(REFUSED, ask([text.encode() for text in REFUSED])):
        assert not ours["valid"] and ours["why"], text
    theirs = reference(clients, ACCEPTED)
    assert all(theirs)


def agree(text, ours, theirs):
    """One document that ours accepts."""
    assert theirs is not None, f"graphql-core does not accept {text!r}"
    names = {(one["kind"], one["name"]): one for one in ours["definitions"]}
    assert len(names) == len(theirs), text
    for one in theirs:
        kind, name = one["definition"][0], one["definition"][1] or ""
        mine = names[kind, name]
        assert one["totals"] and [mine["depth"], mine["aliases"]] == one["totals"][:2], (text, one, mine)
        if kind != "fragment":
            chosen = next(choice for choice in ours["chosen"] if choice["name"] == name)
            assert "why" in chosen or chosen["roots"] == one["totals"][2], (text, chosen, one)


def used(definitions, operation):
    """The names of fragments that an operation uses."""
    fragments = {one["definition"][1]: one["definition"] for one in definitions if one["definition"][0] == "fragment"}
    found, left = set(), [operation[4]]
    while left:
        for kind, name, *_, children in left.pop():
            if kind == "fragment_spread" and name not in found:
                found.add(name)
                left.append(fragments[name][4])
            left.append(children)
    return [definition for name, definition in fragments.items() if name in found]


def test_ours_and_the_reference_agree_on_mutated_documents(clients):
    rng = random.Random(SEED)
    raws = [text.encode() for text in ACCEPTED + REFUSED] + list(mutated(rng, MUTATIONS))
    raws = [raw for raw in dict.fromkeys(raws) if _is_utf8(raw)]
    ours = ask(raws)
    texts = [raw.decode() for raw in raws]
    theirs = reference(clients, texts)
    printed = []
    for text, mine, other in zip(texts, ours, theirs):
        if mine["valid"]:
            agree(text, mine, other)
            for choice in mine["chosen"]:
                if "printed" in choice:
                    operation = next(one["definition"] for one in other if one["definition"][1] == (choice["name"] or None)
                                     and one["definition"][0] != "fragment")
                    printed.append((text, choice["printed"], operation, used(other, operation)))
    assert len(printed) > MUTATIONS // 20, "too few mutated documents are right to say anything"
    for (text, said, operation, fragments), read in zip(printed, reference(clients, [one[1] for one in printed])):
        assert read is not None, (text, said)
        definitions = [one["definition"] for one in read]
        assert definitions[0] == operation, (text, said)
        assert sorted(definitions[1:]) == sorted(fragments), (text, said)


def _is_utf8(raw):
    try:
        raw.decode()
        return True
    except UnicodeDecodeError:
        return False


def test_what_only_the_reference_accepts_is_refused_for_a_reason(clients):
    """Ours is stricter, and only in the ways that are meant."""
    rng = random.Random(SEED + 1)
    raws = [raw for raw in mutated(rng, MUTATIONS // 3) if _is_utf8(raw)]
    meant = ("comes twice", "beside another one", "there is no fragment", "contains itself", "neither @skip nor @include",
             "where it has no meaning", "two operations", "two fragments", "declared twice", "no operation in it",
             "half of a surrogate pair, or that is U+0000", "definition of types or a description", "control character",
             "are nested")
    for raw, mine, other in zip(raws, ask(raws), reference(clients, [raw.decode() for raw in raws])):
        if other is not None and not mine["valid"]:
            assert any(reason in mine["why"] for reason in meant), (raw, mine["why"])


if __name__ == "__main__":
    pytest.main([__file__])
