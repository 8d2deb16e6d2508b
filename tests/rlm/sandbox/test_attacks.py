"""Attacks in the jail and, to know that they are any, outside of it; and what each layer holds off by itself."""

import platform

import pytest

from rlm.sandbox.layers import LAYERS
from tests.rlm.sandbox.attack import Attack
from tests.rlm.sandbox.conftest import Host
from tests.rlm.sandbox.host import ATTACKS, LIMITS
from tests.rlm.sandbox.reaching import REACHING
from tests.rlm.sandbox.straining import RESOURCES, STRAINING

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the attacks' system calls are those of x86_64")
# What an attack may take beyond its limit.
_SECONDS_LATE = 2.0


@pytest.mark.parametrize("attack", REACHING + STRAINING, ids=str)
def test_nothing_is_got_and_another_program_runs(host: Host, attack: Attack) -> None:
    outcome = host.stage(str(attack))
    assert outcome["won"] == [], outcome
    assert outcome["answers"] == [True, True], outcome
    assert outcome["wall"] < LIMITS.seconds + _SECONDS_LATE, outcome
    assert len(outcome["printed"]) <= LIMITS.printed


@pytest.mark.parametrize("attack", [attack for attack in REACHING + STRAINING if attack.outside != "never"], ids=str)
def test_succeeds_outside(host: Host, attack: Attack) -> None:
    outcome = host.stage(str(attack), outside=True)
    if not outcome["won"] and (attack.outside == "some" or (attack.outside == "root" and host.user != 0)):
        pytest.skip(f"not to be had without a sandbox either: {outcome['printed'][-200:]}")
    assert outcome["won"], outcome


# Layers that together, and with no other, hold off an attack; all but the last need those before them.
ALONE = [
    (("user",), "files: read what is private"),
    (("user namespace",), "network: raw packets"),
    (("user namespace", "network namespace"), "network: connect"),
    (("user namespace", "ipc namespace"), "shared memory and siblings: the host's segment"),
    (("user namespace", "process namespace"), "signals: a process of the same user"),
    (("user namespace", "empty root"), "files: read what all may read"),
    (("limits",), "memory, time and output: more memory than its share"),
    (("capabilities",), "namespaces: another root"),
    (("landlock files",), "files: read what all may read"),
    (("landlock tcp",), "network: connect"),
    (("landlock scopes",), "network: an abstract socket"),
    (("landlock scopes",), "signals: a process of the same user"),
    (("seccomp",), "system calls: memory that is written and run"),
]


@pytest.mark.parametrize(("layers", "attack"), ALONE, ids=[f"{' + '.join(layers)}: {name}" for layers, name in ALONE])
def test_each_layer_holds_something_off_alone(host: Host, layers: tuple[str, ...], attack: str) -> None:
    if layers == ("user",) and host.user != 0:
        pytest.skip("the user stays who they are")
    bare = host.stage(attack, without=LAYERS)
    if not bare["won"]:
        assert host.user != 0 or ATTACKS[attack].outside == "some", bare
        pytest.skip(f"not to be had by this user: {bare['error']}")
    held = host.stage(attack, without=[layer for layer in LAYERS if layer not in layers])
    assert held["won"] == [], held


NAMESPACES = [layer for layer in LAYERS if "namespace" in layer or layer == "empty root"]


def test_the_rest_holds_where_there_are_no_namespaces(host: Host) -> None:
    """As in a container that grants none."""
    outcomes = {str(attack): host.stage(str(attack), without=NAMESPACES) for attack in REACHING}
    assert {name: outcome for name, outcome in outcomes.items() if outcome["won"] or not all(outcome["answers"])} == {}


# What no other layer holds off.
INDISPENSABLE = [
    ("limits", "memory, time and output: more memory than its share"),
    ("seccomp", "system calls: memory that is written and run"),
    ("seccomp", "network: netlink"),
    ("seccomp", "descriptors: make a file in memory"),
]


@pytest.mark.parametrize(("layer", "attack"), INDISPENSABLE)
def test_without_a_layer_an_attack_succeeds(host: Host, layer: str, attack: str) -> None:
    assert host.stage(attack, without=[layer])["won"]


def test_table_covers_what_it_should() -> None:
    assert len(ATTACKS) == len(REACHING) + len(STRAINING) > 60
    assert len({attack.group for attack in ATTACKS.values()}) > 10
    assert RESOURCES
