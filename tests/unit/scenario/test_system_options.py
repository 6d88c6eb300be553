# Copyright: Foundation Testbed contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Options of a system: what a scenario may say becomes the role's variables, anything else one clear line."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.foundation.testbed.plugins.plugin_utils.system_options import (
    Option,
    role_variables,
    wrong_options,
)
from ansible_collections.foundation.testbed.plugins.plugin_utils.systems import (
    ROLES_DIR,
    known_systems,
    read_system,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

ETCD = read_system("etcd").options
ANYTHING = st.integers() | st.text() | st.floats() | st.none() | st.sampled_from(["200ms", "5s", 1000])


def test_options_become_variables_of_the_role():
    told = {"heartbeat_interval": "500ms", "election_timeout": "5s", "snapshot_count": 1000}
    assert list(wrong_options(told, ETCD)) == []
    assert role_variables(told, ETCD) == {
        "etcd_heartbeat_interval_ms": 500,
        "etcd_election_timeout_ms": 5000,
        "etcd_snapshot_count": 1000,
    }


@pytest.mark.parametrize(
    ("options", "name", "said"),
    [
        ({"election_timout": "5s"}, "election_timout", "did you mean 'election_timeout'?"),
        ({"election_timeout": "5 weeks"}, "election_timeout", "given '5 weeks'; allowed: a positive number"),
        ({"election_timeout": "51s"}, "election_timeout", "given '51s'; allowed: from 50 ms to 50000 ms"),
        ({"snapshot_count": 1.5}, "snapshot_count", "given 1.5"),
        (
            {"heartbeat_interval": "300ms"},
            "election_timeout",
            "given 1000 ms beside heartbeat_interval of 300 ms; allowed: at least 5 times that",
        ),
    ],
)
def test_a_wrong_option_is_one_line(options, name, said):
    ((found, message),) = wrong_options(options, ETCD)
    assert found == name and said in message


@given(st.dictionaries(st.sampled_from([*ETCD, "other"]), ANYTHING))
def test_whatever_is_given_is_wrong_or_within_bounds(options):
    wrong = dict(wrong_options(options, ETCD))
    told = role_variables(options, ETCD)
    for name in set(options) - set(wrong):
        assert ETCD[name].minimum <= told[ETCD[name].variable] <= ETCD[name].maximum


@pytest.mark.parametrize("system", known_systems())
def test_the_default_of_an_option_is_the_roles_own(system):
    """An option's bound by another counts with what the role does when nothing is said."""
    defaults = yaml.safe_load((ROLES_DIR / system / "defaults" / "main.yml").read_text(encoding="utf-8"))
    for option in read_system(system).options.values():
        assert defaults[option.variable] == ([] if option.type == "words" else option.default)


FAULTY = {
    "faulty": Option(about="bugs", variable="x_faulty", type="words", words=["stale", "twice"]),
}


@pytest.mark.parametrize(
    ("said", "told"),
    [("stale", ["stale"]), ("twice, stale", ["stale", "twice"]), ("stale,stale", ["stale"])],
)
def test_words_become_a_list(said, told):
    assert list(wrong_options({"faulty": said}, FAULTY)) == []
    assert role_variables({"faulty": said}, FAULTY) == {"x_faulty": told}


@pytest.mark.parametrize("said", ["late", "stale twice", "", ",", 1, True])
def test_an_unknown_word_is_one_line(said):
    ((name, message),) = wrong_options({"faulty": said}, FAULTY)
    assert name == "faulty" and "allowed: stale, twice" in message
    assert role_variables({"faulty": said}, FAULTY) == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"type": "words"},
        {"type": "words", "words": ["a"], "default": 1},
        {"type": "number", "default": 1, "minimum": 0},
        {"type": "number", "default": 1, "minimum": 0, "maximum": 2, "words": ["a"]},
    ],
)
def test_an_option_says_what_belongs_to_its_type(wrong):
    with pytest.raises(ValidationError):
        Option(about="x", variable="x", **wrong)
