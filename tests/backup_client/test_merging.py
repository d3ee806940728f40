"""The laws of merging."""

from hypothesis import given
from hypothesis import strategies as st

from clients.python.backup.merging import merge_contacts, merge_profiles
from clients.python.backup.model import Contact, Profile


def contact(id_: str, name: str, when: int, gone: bool) -> Contact:
    """Return a contact that keeps the rules."""
    return Contact(id_, "" if gone else name, "", when, gone)


# Few values, so that ids and moments meet.
ONE = st.builds(
    contact, st.sampled_from("abc"), st.sampled_from("xyz"), st.integers(1, 3), st.booleans()
)
MANY = st.lists(ONE, max_size=4, unique_by=lambda one: one.id)
PROFILE = st.builds(
    lambda name, when: Profile(name, b"k" * 32 if name else b"", when),
    st.sampled_from(["", "p", "q"]),
    st.integers(1, 3),
)


@given(MANY, MANY)
def test_merging_is_commutative(ours: list[Contact], theirs: list[Contact]) -> None:
    """Who merges whom makes no difference, also for what is told as a clash."""
    here, there = merge_contacts(ours, theirs), merge_contacts(theirs, ours)

    assert here.contacts == there.contacts
    assert {one.kept.id for one in here.clashes} == {one.kept.id for one in there.clashes}


@given(MANY)
def test_merging_with_itself_changes_nothing(ours: list[Contact]) -> None:
    """A push whose answer was lost merges with itself without a trace."""
    merged = merge_contacts(ours, ours)

    assert sorted(merged.contacts, key=lambda one: one.id) == sorted(ours, key=lambda one: one.id)
    assert merged.clashes == ()


@given(MANY, MANY, MANY)
def test_merging_is_associative(a: list[Contact], b: list[Contact], c: list[Contact]) -> None:
    """Three machines end with the same contacts, in whatever order they meet."""
    left = merge_contacts(merge_contacts(a, b).contacts, c).contacts

    assert left == merge_contacts(a, merge_contacts(b, c).contacts).contacts


@given(MANY, MANY)
def test_nobody_is_lost_and_the_newest_counts(ours: list[Contact], theirs: list[Contact]) -> None:
    """The union of ids, each as one of the two had it, and never the older one."""
    merged = {one.id: one for one in merge_contacts(ours, theirs).contacts}

    assert set(merged) == {one.id for one in [*ours, *theirs]}
    for one in [*ours, *theirs]:
        assert merged[one.id].updated_at_ms >= one.updated_at_ms
        assert merged[one.id] in [*ours, *theirs]


def test_a_removed_contact_does_not_come_back() -> None:
    """A machine that has not heard of the removal does not undo it."""
    gone, old = Contact("mira", updated_at_ms=9, deleted=True), Contact("mira", "Mira", "", 8)

    assert merge_contacts([old], [gone]).contacts == (gone,)
    assert merge_contacts([gone], [old]).clashes == ()


def test_two_changes_of_the_same_moment_are_told() -> None:
    """The one that is kept and the one that is not, so that a person can look."""
    one, two = Contact("mira", "Mira", "", 5), Contact("mira", "Mirabel", "", 5)
    (clash,) = merge_contacts([one], [two]).clashes

    assert {clash.kept, clash.dropped} == {one, two}


@given(PROFILE, PROFILE, PROFILE)
def test_profiles_merge_by_the_same_laws(a: Profile, b: Profile, c: Profile) -> None:
    """The newest avatar, whoever asks and in whatever order."""
    assert merge_profiles(a, b) == merge_profiles(b, a)
    assert merge_profiles(a, a) == a
    assert merge_profiles(merge_profiles(a, b), c) == merge_profiles(a, merge_profiles(b, c))
    assert merge_profiles(a, b).updated_at_ms == max(a.updated_at_ms, b.updated_at_ms)
