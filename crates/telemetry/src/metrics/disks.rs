//! The disks of the cache store.

use std::collections::BTreeMap;

use super::family::{Described, Families, Number as _, Spec, Specs};
use super::samples::{ByCause, DiskSample, StoreSource};

const DISK: [&str; 2] = ["zone", "disk"];

struct Column {
    spec: Spec<2>,
    read: fn(&DiskSample) -> f64,
}

const fn gauge(name: &'static str, help: &'static str, read: fn(&DiskSample) -> f64) -> Column {
    Column { spec: Spec::gauge(name, help, DISK), read }
}

const fn counter(name: &'static str, help: &'static str, read: fn(&DiskSample) -> f64) -> Column {
    Column { spec: Spec::counter(name, help, DISK), read }
}

static COLUMNS: [Column; 20] = [
    gauge("seawall_disk_state", "0: read and written, 1: only read, 2: not used.", |d| f64::from(d.state)),
    gauge(
        "seawall_disk_limit_bytes",
        "Bytes that may be taken now: less than the size given while the file system has less.",
        |d| d.limit_bytes.real(),
    ),
    gauge("seawall_disk_segments", "Segment files.", |d| d.segments.real()),
    gauge("seawall_disk_files", "Bodies in files of their own.", |d| d.files.real()),
    gauge("seawall_disk_index_bytes", "Memory of the index.", |d| d.index_bytes.real()),
    gauge("seawall_disk_purges", "Purges remembered for the sake of what is on disk.", |d| d.purges.real()),
    gauge(
        "seawall_disk_remembered_requests",
        "First requests remembered, with `admission: second_request`.",
        |d| d.remembered_requests.real(),
    ),
    gauge("seawall_disk_queue_objects", "Objects waiting to be written.", |d| d.queue.real()),
    gauge("seawall_disk_queue_bytes", "Bytes waiting to be written.", |d| d.queue_bytes.real()),
    gauge("seawall_disk_reads_waiting", "Reads waiting for the disk, or running.", |d| {
        d.reads_waiting.real()
    }),
    gauge(
        "seawall_disk_read_buffer_bytes",
        "Bytes read, 64KiB or more at a time, that clients have not taken yet.",
        |d| d.read_buffer_bytes.real(),
    ),
    gauge(
        "seawall_disk_fill_bytes",
        "Bytes of large responses on their way in that wait to be written.",
        |d| d.fill_bytes.real(),
    ),
    gauge("seawall_disk_fills_unfinished", "Large responses that are there and wait to be synced.", |d| {
        d.fills_unfinished.real()
    }),
    gauge("seawall_disk_recovered_ratio", "How much of what was there at the start is found again.", |d| {
        d.recovered
    }),
    gauge("seawall_disk_write_amplification", "Bytes written per byte of new content.", |d| {
        d.write_amplification
    }),
    counter(
        "seawall_disk_fill_stall_seconds_total",
        "Time that clients of large responses were held up because the disk did not keep up.",
        |d| d.fill_stall_seconds,
    ),
    counter("seawall_disk_writes_total", "Writes.", |d| d.writes.real()),
    counter("seawall_disk_written_bytes_total", "Bytes written for new content.", |d| d.written_bytes.real()),
    counter("seawall_disk_copied_bytes_total", "Bytes copied to keep what was read.", |d| {
        d.copied_bytes.real()
    }),
    counter("seawall_disk_read_bytes_total", "Bytes read.", |d| d.read_bytes.real()),
];

struct Causes {
    spec: Spec<3>,
    read: fn(&DiskSample) -> &ByCause,
}

static CAUSES: [Causes; 2] = [
    Causes {
        spec: Spec::counter(
            "seawall_disk_reads_total",
            "Reads: from the page cache at once, after waiting, or refused because too many waited.",
            ["zone", "disk", "how"],
        ),
        read: |disk| &disk.reads,
    },
    Causes {
        spec: Spec::counter(
            "seawall_disk_errors_total",
            "Reads and writes that failed, content that was damaged, and folders that were lost and begun anew.",
            ["zone", "disk", "kind"],
        ),
        read: |disk| &disk.errors,
    },
];

pub(super) fn specs() -> Specs {
    let mut specs: Specs = COLUMNS.iter().map(|column| &column.spec as &dyn Described).collect();
    specs.extend(CAUSES.iter().map(|causes| &causes.spec as &dyn Described));
    specs
}

pub(super) fn read(source: &dyn StoreSource, out: &mut Families) {
    // Prometheus refuses a scrape that names a series twice.
    let disks: BTreeMap<String, DiskSample> =
        source.disks().into_iter().map(|disk| (disk.path.clone(), disk)).collect();
    for Column { spec, read } in &COLUMNS {
        let mut family = out.family(spec);
        for (path, disk) in &disks {
            family.sample([disk.zone.as_str(), path], read(disk));
        }
    }
    for Causes { spec, read } in &CAUSES {
        let mut family = out.family(spec);
        for (path, disk) in &disks {
            for (cause, count) in read(disk) {
                family.sample([disk.zone.as_str(), path, *cause], *count);
            }
        }
    }
}
