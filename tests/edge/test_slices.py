"""
Tests of the profiles slice itself, run again in real workerd.

All of its tests of reading and of bad lines pass there (two minutes); these are the ones that say
the most in the least time. Fixtures: tests/edge/conftest.py.
"""

from tests.slices.test_profiles_bad_lines import (
    test_a_bad_line_is_named_and_the_good_ones_around_it_are_stored,
    test_an_invalid_line_does_not_take_the_place_of_a_valid_one,
    test_every_fault_of_a_line_is_told_and_no_value_is_quoted,
    test_line_numbers_count_every_line_of_the_file,
)
from tests.slices.test_profiles_read import (
    test_a_list_goes_on_where_it_stood_while_profiles_come,
    test_a_tampered_cursor_is_refused,
    test_an_empty_store_answers_empty,
    test_an_export_imported_again_changes_nothing,
    test_an_old_profile_can_be_read_as_the_new_version,
    test_strangers_get_a_profile_without_its_birthday,
    test_the_newest_import_of_an_id_wins,
)

__all__ = [
    "test_a_bad_line_is_named_and_the_good_ones_around_it_are_stored",
    "test_a_list_goes_on_where_it_stood_while_profiles_come",
    "test_a_tampered_cursor_is_refused",
    "test_an_empty_store_answers_empty",
    "test_an_export_imported_again_changes_nothing",
    "test_an_invalid_line_does_not_take_the_place_of_a_valid_one",
    "test_an_old_profile_can_be_read_as_the_new_version",
    "test_every_fault_of_a_line_is_told_and_no_value_is_quoted",
    "test_line_numbers_count_every_line_of_the_file",
    "test_strangers_get_a_profile_without_its_birthday",
    "test_the_newest_import_of_an_id_wins",
]
