//! Each model in every order of events that its bound allows.

use seawall_test_models::models;

#[test]
fn an_answered_purge_holds_for_every_thread() {
    models::an_answered_purge_holds_for_every_thread();
}

#[test]
fn what_is_on_its_way_does_not_survive_a_purge() {
    models::what_is_on_its_way_does_not_survive_a_purge();
}

#[test]
fn a_full_table_forgets_in_favour_of_no_content() {
    models::a_full_table_forgets_in_favour_of_no_content();
}

#[test]
fn what_comes_in_meets_forgotten_purges() {
    models::what_comes_in_meets_forgotten_purges();
}

#[test]
fn nobody_takes_the_table_for_empty() {
    models::nobody_takes_the_table_for_empty();
}

#[test]
fn purges_are_later_than_what_was_noted() {
    models::purges_are_later_than_what_was_noted();
}

#[test]
fn the_ledger_keeps_its_bound() {
    models::the_ledger_keeps_its_bound();
}

#[test]
fn a_finished_fill_is_found_without_a_gap() {
    models::a_finished_fill_is_found_without_a_gap();
}
