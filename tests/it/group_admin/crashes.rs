//! Crashes at every step of what makes a group go: it is whole afterwards, or gone, and never what it was earlier.

use ottla::{Admin, Consumer, ConsumerConfig, Engine, MemoryDisk, NewTopic, Offset, Result};

use super::{MINUTE, committed, files, groups, open};

/// How the machine goes down.
#[derive(Clone, Copy, Debug)]
enum Crash {
    Kill,
    Cut,
    CutKeeping(u64),
}

impl Crash {
    const ALL: [Self; 5] = [Self::Kill, Self::Cut, Self::CutKeeping(1), Self::CutKeeping(2), Self::CutKeeping(3)];

    fn happens(self, disk: &MemoryDisk) {
        match self {
            Self::Kill => disk.kill(),
            Self::Cut => disk.power_cut(),
            Self::CutKeeping(seed) => disk.power_cut_keeping(seed),
        }
    }
}

fn alter(engine: &Engine, group: &str, offset: i64) -> Result<()> {
    Admin::new(engine).alter_group_offsets(group, [(("orders", 0).into(), Offset(offset).into())])
}

/// A disk with groups that have committed 7, and whose generations before say 3.
fn scene() -> MemoryDisk {
    let disk = MemoryDisk::stepped(7);
    let engine = open(&disk);
    Admin::new(&engine).create_topic(NewTopic::new("orders")).unwrap();
    for group in ["billing", "stock"] {
        alter(&engine, group, 3).unwrap();
    }
    disk.kill();
    drop(engine);
    let engine = open(&disk); // which writes the journals anew
    for group in ["billing", "stock"] {
        alter(&engine, group, 7).unwrap();
    }
    engine.close().unwrap();
    assert!(files(&disk).iter().any(|file| file.ends_with(".previous")), "{:?}", files(&disk));
    disk
}

/// Runs `work` once for each of its steps, with the machine going down there, and has `check` look at what is left.
fn at_every_step(work: impl Fn(&Engine) -> Result<()>, check: impl Fn(&Engine, bool, &str)) {
    let steps = {
        let disk = scene();
        let engine = open(&disk);
        let before = disk.steps();
        work(&engine).unwrap();
        disk.steps() - before
    };
    assert!(steps > 3, "{steps}");
    for crash in Crash::ALL {
        for step in 0..=steps {
            let context = format!("{crash:?} at step {step} of {steps}");
            let disk = scene();
            let engine = open(&disk);
            disk.fail_from(disk.steps() + step);
            let is_done = work(&engine).is_ok();
            crash.happens(&disk);
            drop(engine);
            let engine = open(&disk);
            check(&engine, is_done, &context);
            // Whatever was left takes new commits, through another crash.
            alter(&engine, "billing", 9).unwrap();
            disk.power_cut();
            drop(engine);
            assert_eq!(committed(&open(&disk), "billing", "orders"), Some(9), "{context}");
        }
    }
}

#[test]
fn deleted_group_is_whole_or_gone_after_a_crash() {
    let delete = |engine: &Engine| Admin::new(engine).delete_group("billing");
    at_every_step(delete, |engine, is_done, context| {
        let left = committed(engine, "billing", "orders");
        let expected = if is_done { vec![None] } else { vec![None, Some(7)] };
        assert!(expected.contains(&left), "{context}: {left:?}");
        assert_eq!(groups(engine).len(), if left.is_some() { 2 } else { 1 }, "{context}");
        assert_eq!(committed(engine, "stock", "orders"), Some(7), "{context}");
    });
}

#[test]
fn expired_groups_are_whole_or_gone_after_a_crash() {
    let expire = |engine: &Engine| {
        let mut idle = Consumer::<str, str>::with_config(engine, ConsumerConfig::default())?;
        idle.assign([("orders", 0).into()])?;
        idle.poll(11 * MINUTE).map(drop)
    };
    at_every_step(expire, |engine, _, context| {
        for group in ["billing", "stock"] {
            let left = committed(engine, group, "orders");
            assert!(matches!(left, None | Some(7)), "{context}: {group}: {left:?}");
        }
    });
}

#[test]
fn group_that_could_not_be_deleted_goes_on() {
    let disk = scene();
    let engine = open(&disk);
    disk.fail_next_syncs(1);
    let failed = Admin::new(&engine).delete_group("billing").unwrap_err();
    assert_eq!(committed(&engine, "billing", "orders"), Some(7), "{failed}");
    assert!(alter(&engine, "billing", 8).is_err(), "the directory is offline");
    drop(engine);
    let engine = open(&disk);
    assert_eq!(committed(&engine, "billing", "orders"), Some(7));
    Admin::new(&engine).delete_group("billing").unwrap();
    assert_eq!(groups(&engine), ["stock"]);
}
