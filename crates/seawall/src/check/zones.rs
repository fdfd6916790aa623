//! The zones of the cache, and who uses them.

use std::collections::BTreeSet;

use seawall_config::units::ByteSize;
use seawall_config::{Diagnostics, Document, Path, did_you_mean};
use seawall_store::{DiskSettings, StoreSettings};

use crate::settings::{DEFAULT_ZONE, Settings};

/// Each has threads of its own, and every purge goes to all.
const MAX_ZONES: usize = 64;
const MAX_NAME: usize = 64;

pub(super) fn check(settings: &Settings, document: &Document, out: &mut Diagnostics) {
    let at = Path::root().key("cache");
    let mut stores = vec![(at.clone(), settings.cache.store())];
    let zones = at.key("zones");
    for (number, zone) in settings.cache.zones.iter().enumerate() {
        stores.push((zones.index(number), zone.store(&settings.cache)));
    }
    for (number, (at, store)) in stores.iter().enumerate() {
        if number > 0 && store.memory.bytes() == 0 {
            out.error(at, "a zone needs `memory`").hint("say how much it may have, such as `256MiB`");
        } else {
            store.check(at, out);
            store.check_machine(at, out);
        }
    }
    check_names(settings, &zones, out);
    check_folders(&stores, out);
    check_memory(&stores, seawall_store::machine_memory(), &zones, out);
    check_uses(settings, document, out);
}

fn check_names(settings: &Settings, at: &Path, out: &mut Diagnostics) {
    if settings.cache.zones.len() > MAX_ZONES {
        out.error(at, format!("{} zones, but at most {MAX_ZONES} are allowed", settings.cache.zones.len()));
    }
    let mut known = BTreeSet::from([DEFAULT_ZONE]);
    for (number, zone) in settings.cache.zones.iter().enumerate() {
        let (name, at) = (zone.name.as_str(), at.index(number));
        let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if name.is_empty() {
            out.error(&at, "a zone needs a `name`").hint("routes choose it by that name");
        } else if name.len() > MAX_NAME || !name.bytes().all(fit) {
            out.error(&at.key("name"), format!("`{name}` cannot be the name of a zone"))
                .hint(format!("up to {MAX_NAME} letters, digits, `-`, `_` and `.`"));
        } else if name == DEFAULT_ZONE {
            out.error(&at.key("name"), "the zone `default` is there already")
                .hint("its limits are those directly under `cache`");
        } else if !known.insert(name) {
            out.error(&at.key("name"), format!("there is another zone `{name}`"));
        }
    }
}

/// Two zones on one folder, or one inside the other. Within one zone the store looks.
fn check_folders(stores: &[(Path, StoreSettings)], out: &mut Diagnostics) {
    let mut before: Vec<&DiskSettings> = Vec::new();
    for (at, store) in stores {
        for (number, disk) in store.disk.iter().enumerate() {
            if before.iter().any(|other| disk.overlaps(other)) {
                let list = at.key("disk");
                let at = if store.disk.len() == 1 { list } else { list.index(number) };
                out.error(&at.key("path"), format!("`{}` is used by another zone", disk.path.display()))
                    .hint("each zone needs a folder of its own, beside the others");
            }
        }
        before.extend(store.disk.iter());
    }
}

/// Each fits by itself into the `machine`'s memory, as the store has found.
fn check_memory(stores: &[(Path, StoreSettings)], machine: Option<u64>, at: &Path, out: &mut Diagnostics) {
    let Some(total) = machine.filter(|_| stores.len() > 1) else { return };
    let most = total / 10 * 9;
    let sum = stores.iter().fold(0u64, |sum, (_, store)| sum.saturating_add(store.memory.bytes()));
    if sum > most && stores.iter().all(|(_, store)| store.memory.bytes() <= most) {
        out.warning(
            at,
            format!(
                "all zones together have {}, more than nine tenths of this machine's memory ({} MiB)",
                ByteSize(sum),
                total >> 20
            ),
        )
        .on_key()
        .hint("leave room for connections and for the page cache; the zone `default` has `cache.memory`");
    }
}

/// Zones that do not exist, and zones no route leads to.
fn check_uses(settings: &Settings, document: &Document, out: &mut Diagnostics) {
    let root = Path::root();
    let at = root.key("cache").key("zones");
    let zones = || settings.cache.zones.iter().map(|zone| zone.name.as_str());
    let known: Vec<&str> = std::iter::once(DEFAULT_ZONE).chain(zones()).collect();
    let check = |name: &str, at: &Path, out: &mut Diagnostics| {
        // One that could not be read is missing for a reason that was told already.
        if known.contains(&name) || document.is_pruned(&root.key("cache")) {
            return;
        }
        let found = out.error(at, format!("there is no cache zone `{name}`"));
        match did_you_mean(name, known.iter().copied()) {
            Some(near) => found.hint(format!("did you mean `{near}`?")),
            None if known.len() == 1 => found.hint("add it under `cache.zones:`"),
            None => found.hint(format!("zones: {}", known.join(", "))),
        };
    };
    let mut used = BTreeSet::new();
    for (i, site) in settings.sites.iter().enumerate() {
        let at = root.key("sites").index(i);
        if let Some(name) = &site.cache_zone {
            check(name, &at.key("cache_zone"), out);
        }
        for (j, route) in site.routes.iter().enumerate() {
            let Some(cache) = &route.cache else { continue };
            if let Some(name) = &cache.zone {
                check(name, &at.key("routes").index(j).key("cache").key("zone"), out);
            }
            if cache.enabled {
                used.insert(route.zone(site));
            }
        }
    }
    for (number, name) in zones().enumerate().filter(|(_, name)| !name.is_empty() && !used.contains(name)) {
        if !document.is_pruned(&root.key("sites")) {
            out.warning(&at.index(number).key("name"), format!("no route uses the cache zone `{name}`"));
        }
    }
}

#[cfg(test)]
mod tests {
    use seawall_config::units::ByteSize;
    use seawall_config::{Diagnostics, Path, Severity};
    use seawall_store::StoreSettings;

    use super::{MAX_ZONES, check_memory, check_names};
    use crate::settings::{Settings, ZoneSettings};

    fn of(count: usize) -> Settings {
        let mut settings = Settings::default();
        settings.cache.zones =
            (0..count).map(|n| ZoneSettings { name: format!("z{n}"), ..ZoneSettings::default() }).collect();
        settings
    }

    fn told(check: impl FnOnce(&Path, &mut Diagnostics)) -> Vec<(Severity, String)> {
        let mut out = Diagnostics::default();
        check(&Path::root().key("cache").key("zones"), &mut out);
        out.iter().map(|found| (found.severity, found.message.clone())).collect()
    }

    #[test]
    fn there_is_a_most_of_zones() {
        assert_eq!(told(|at, out| check_names(&of(MAX_ZONES), at, out)), []);
        let many = told(|at, out| check_names(&of(MAX_ZONES + 1), at, out));
        assert_eq!(many, [(Severity::Error, "65 zones, but at most 64 are allowed".to_owned())]);
    }

    #[test]
    fn the_memory_of_all_zones_together_is_looked_at() {
        let stores = |sizes: &[u64]| {
            let store = |mib: &u64| StoreSettings { memory: ByteSize::mib(*mib), ..StoreSettings::default() };
            sizes.iter().map(|mib| (Path::root(), store(mib))).collect::<Vec<_>>()
        };
        let machine = Some(1000 << 20);
        let check = |sizes: &[u64], machine| told(|at, out| check_memory(&stores(sizes), machine, at, out));
        let found = check(&[500, 200, 201], machine);
        let [(Severity::Warning, message)] = &found[..] else { panic!("{found:?}") };
        assert!(
            message.contains("901MiB") && message.contains("(1000 MiB)"),
            "the sum, and what there is: {message}"
        );
        assert_eq!(check(&[500, 200, 200], machine), [], "nine tenths");
        assert_eq!(check(&[901, 1], machine), [], "the store has told that already");
        assert_eq!(check(&[950], machine), [], "as above");
        assert_eq!(check(&[500, 200, 201], None), [], "a machine that does not say");
    }
}
