# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What nodes know of JSON Schema says of every value what the reference library says."""

from __future__ import annotations

from ansible_collections.foundation.testbed.plugins.module_utils.contracts.matching import (
    KEYWORDS,
    TYPES,
    mismatches,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.contract_file import schema_problems
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

NAMES = st.sampled_from(["a", "b", "c/d", "~"])
SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 1.0, 0.5, "", "a", "ab", "1"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
SIZES = st.integers(0, 3)


def schemas(inner):
    return st.fixed_dictionaries(
        {},
        optional={
            "additionalProperties": st.booleans() | inner,
            "const": VALUES,
            "contains": inner,
            "description": st.just("of no effect"),
            "enum": st.lists(VALUES, max_size=3),
            "items": inner,
            "maxItems": SIZES,
            "maxLength": SIZES,
            "maximum": st.sampled_from([-1, 0, 0.5, 2]),
            "minItems": SIZES,
            "minLength": SIZES,
            "minimum": st.sampled_from([-1, 0, 0.5, 2]),
            "pattern": st.sampled_from(["a", "^a+", "^[ab]*$"]),
            "properties": st.dictionaries(NAMES, inner, max_size=3),
            "required": st.lists(NAMES, max_size=2, unique=True),
            "type": st.sampled_from(TYPES) | st.lists(st.sampled_from(TYPES), min_size=1, unique=True),
        },
    )


SCHEMAS = st.recursive(st.just({}), schemas, max_leaves=6)


@settings(max_examples=400)
@given(SCHEMAS, VALUES)
def test_it_agrees_with_the_reference(schema, value):
    assert not list(schema_problems(schema))
    errors = list(Draft202012Validator(schema).iter_errors(value))
    assert bool(mismatches(schema, value)) == bool(errors), errors


def test_every_keyword_is_compared():
    drawn = set()

    @settings(max_examples=200, database=None)
    @given(schemas(st.just({})))
    def draw(schema):
        drawn.update(schema)

    draw()
    assert drawn == KEYWORDS


def test_a_mismatch_says_where_and_what():
    schema = {"properties": {"a": {"items": {"const": 1}}}, "required": ["b"]}
    assert [tuple(wrong) for wrong in mismatches(schema, {"a": [1, 2]})] == [
        ("/b", "is there", "nothing"),
        ("/a/1", "1", "2"),
    ]


@given(VALUES | st.dictionaries(st.sampled_from(["type", "properties", "items", "not"]), VALUES))
def test_whatever_is_no_schema_is_told(value):
    """What passes can be matched with; nothing but a problem comes of the rest."""
    if not list(schema_problems(value)):
        mismatches(value, {"a": [1, None]})
