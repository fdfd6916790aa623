//! The negative control: with relaxed atomics these models fail, so the orders that the store asks for are needed. A
//! binary of its own, because `weaken` holds for the whole process.

use seawall_test_models::models;

#[test]
#[should_panic]
fn an_answered_purge_holds_for_every_thread() {
    models::weaken();
    models::an_answered_purge_holds_for_every_thread();
}

#[test]
#[should_panic]
fn what_is_on_its_way_does_not_survive_a_purge() {
    models::weaken();
    models::what_is_on_its_way_does_not_survive_a_purge();
}

#[test]
#[should_panic]
fn a_finished_fill_is_found_without_a_gap() {
    models::weaken();
    models::a_finished_fill_is_found_without_a_gap();
}
