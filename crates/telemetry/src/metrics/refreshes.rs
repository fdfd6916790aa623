//! Stale responses that are refreshed in the background.

use super::family::{Families, Spec, Specs};
use super::samples::StoreSource;

static RUNNING: Spec<0> = Spec::gauge(
    "seawall_cache_refreshes_in_flight",
    "Stale responses being refreshed in the background.",
    [],
);
static BEGUN: Spec<0> =
    Spec::counter("seawall_cache_refreshes_total", "Refreshes in the background begun.", []);
static REFUSED: Spec<1> = Spec::counter(
    "seawall_cache_refreshes_refused_total",
    "Stale responses served without a refresh, since there were as many as may be, in all or for their upstream.",
    ["limit"],
);

pub(super) fn specs() -> Specs {
    vec![&RUNNING, &BEGUN, &REFUSED]
}

pub(super) fn read(store: &dyn StoreSource, out: &mut Families) {
    let sample = store.refreshes();
    out.single(&RUNNING, sample.running);
    out.single(&BEGUN, sample.begun);
    let mut family = out.family(&REFUSED);
    for (limit, count) in sample.refused {
        family.sample([limit], count);
    }
}
