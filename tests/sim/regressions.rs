//! What the simulation found, by name, where it takes its faults to show it. What takes a power cut alone is in
//! `tests/it/crash`.

use ottla::sim::{Fault, Faults, Operation};
use ottla::{Acks, Finding, MemoryDisk};

use super::app::App;
use super::model::{Crash, Model};

/// Seeds 1908 and 2854: recovery cut the log there, or wrote what it had read wrong over what was right.
#[test]
fn bit_that_an_opening_reads_wrong_once_costs_nothing() {
    for seed in 0..60 {
        let disk = MemoryDisk::simulated(seed);
        let mut model = Model::new(&format!("seed {seed}"));
        let mut app = App::open(&disk, &mut model).unwrap();
        app.create("orders", 1).unwrap();
        for _ in 0..8 {
            app.send_and_wait(Acks::All, "orders", 0).unwrap();
        }
        app.settle();
        disk.kill();
        app.model.crashed(Crash::Kill);
        drop(app);
        disk.remove("positions").unwrap(); // so that all of the log is read, and written again

        disk.set_faults(Faults::none().one_in(3, Operation::Read, Fault::FlippedBit).within(".log").once());
        let mut app = App::open(&disk, &mut model).unwrap();
        disk.set_faults(Faults::none());
        let is_cut = |finding: &Finding| matches!(finding, Finding::Cut { .. } | Finding::Damaged { .. });
        assert!(!app.findings().iter().any(is_cut), "seed {seed}: {:?}", app.findings());
        app.check_all().unwrap();
        disk.power_cut();
        app.model.crashed(Crash::Cut);
        drop(app);
        App::open(&disk, &mut model).unwrap().check_all().unwrap();
    }
}
