//! A consumer group while workers come, stall and leave: which of them holds which partition, and how many records each
//! has processed.
//!
//! Every worker is a thread with a consumer of its own. What they have in common is the name of their group; the rest is
//! the group's business. Partitions change hands one by one, and whoever keeps one reads on meanwhile.
//!
//! ```text
//! cargo run --example consumer_group
//! ```

#![expect(clippy::print_stdout, reason = "an example talks to its reader")]
#![expect(clippy::disallowed_methods, reason = "its workers are threads, and it waits for them")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use ottla::{
    Admin, Cause, Consumer, ConsumerConfig, Engine, GroupMembers, GroupState, NewTopic, Producer, ProducerRecord,
    RebalanceListener, Result, TopicPartition,
};

const NAMES: [&str; 3] = ["ann", "bob", "cid"];
const PARTITIONS: u32 = 6;
/// How many records come into each partition in each scene.
const RECORDS: usize = 10;

fn main() -> Result<()> {
    let engine = Engine::in_memory()?;
    Admin::new(&engine).create_topic(NewTopic::new("orders").partitions(PARTITIONS))?;
    let mut stage = Stage { producer: Producer::new(&engine)?, engine, board: Arc::default(), sent: 0 };
    println!(
        "The topic \"orders\" has {PARTITIONS} partitions; {RECORDS} records come into each of them in each scene.\n"
    );
    println!("{:<26}{:<24}{:<24}{}", "", NAMES[0], NAMES[1], NAMES[2]);
    println!("{:<26}{}", "", "holds        records    ".repeat(NAMES.len()).trim_end());

    let ann = stage.start(NAMES[0])?;
    stage.scene("ann starts", 1)?;
    let bob = stage.start(NAMES[1])?;
    stage.scene("bob starts", 2)?;
    let cid = stage.start(NAMES[2])?;
    stage.scene("cid starts", 3)?;
    bob.stall();
    stage.scene("bob works for too long", 2)?;
    bob.go_on();
    stage.scene("bob is back", 3)?;
    ann.leave()?;
    stage.scene("ann leaves", 2)?;
    bob.leave()?;
    cid.leave()?;

    println!("\n{} records were sent, and each was processed once.", stage.sent);
    assert_eq!(lock(&stage.board).processed.values().sum::<usize>(), stage.sent);
    stage.engine.close()
}

/// What all see of the workers.
#[derive(Default)]
struct Board {
    processed: BTreeMap<&'static str, usize>,
    /// Since the last scene: who, what became of partitions, and of which.
    moves: BTreeMap<(&'static str, &'static str), BTreeSet<u32>>,
}

impl Board {
    /// A table's row: what the group says that each member holds, and what that member has processed.
    fn row(&self, group: &GroupMembers) -> String {
        let cell = |name: &&'static str| {
            let Some(count) = self.processed.get(name) else { return " ".repeat(24) };
            let member = group.members.iter().find(|member| member.member_id.starts_with(name));
            let sign = |number: u32| match member {
                Some(member) if member.assignment.contains(&("orders", number).into()) => number.to_string(),
                _ => ".".to_owned(),
            };
            let signs = (0..PARTITIONS).map(sign).collect::<Vec<_>>().join(" ");
            format!("{signs}{count:>9}    ")
        };
        NAMES.iter().map(cell).collect()
    }
}

fn lock(board: &Mutex<Board>) -> std::sync::MutexGuard<'_, Board> {
    board.lock().expect("no worker panics")
}

/// Where the workers work.
struct Stage {
    engine: Engine,
    producer: Producer<str, str>,
    board: Arc<Mutex<Board>>,
    sent: usize,
}

impl Stage {
    /// Starts a worker.
    fn start(&self, name: &'static str) -> Result<Worker> {
        let config = ConsumerConfig::builder()
            .group_id(Some("workers".into()))
            .client_id(Some(name.into()))
            .set("partition.assignment.strategy", "sticky")? // as little as possible moves
            .enable_auto_commit(false) // when the work is done
            .max_poll_interval(Duration::from_secs(1)) // who takes longer is taken for stuck
            .build()?;
        let mut consumer = Consumer::<str, str>::with_config(&self.engine, config)?;
        consumer.subscribe_with(["orders"], Watch { name, board: Arc::clone(&self.board) })?;
        lock(&self.board).processed.insert(name, 0);
        let (tell, orders) = channel();
        let board = Arc::clone(&self.board);
        let thread = thread::spawn(move || work(name, consumer, &board, &orders));
        Ok(Worker { tell, thread })
    }

    /// Waits until the group has come to rest, sends records, waits until they are processed, and shows what there is.
    fn scene(&mut self, title: &str, members: usize) -> Result<()> {
        let admin = Admin::new(&self.engine);
        let group = loop {
            match admin.group_members("workers")? {
                group if group.members.len() == members && group.state == GroupState::Stable => break group,
                _ => thread::sleep(Duration::from_millis(1)),
            }
        };
        for number in 0..PARTITIONS {
            for _ in 0..RECORDS {
                drop(self.producer.send(ProducerRecord::to("orders").partition(number).value("an order"))?);
                self.sent += 1;
            }
        }
        while lock(&self.board).processed.values().sum::<usize>() < self.sent {
            thread::sleep(Duration::from_millis(1));
        }
        let mut board = lock(&self.board);
        println!("{}", format!("{title:<26}{}", board.row(&group)).trim_end());
        for ((word, name), numbers) in std::mem::take(&mut board.moves) {
            println!("    {name} {word} {}", list(&numbers));
        }
        Ok(())
    }
}

fn list(numbers: &BTreeSet<u32>) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// A thread that works.
struct Worker {
    tell: Sender<Order>,
    thread: JoinHandle<Result<()>>,
}

enum Order {
    /// To be stuck until there is another order.
    Stall,
    GoOn,
    Leave,
}

impl Worker {
    fn tell(&self, order: Order) {
        self.tell.send(order).expect("the worker listens until it leaves");
    }

    fn stall(&self) {
        self.tell(Order::Stall);
    }

    fn go_on(&self) {
        self.tell(Order::GoOn);
    }

    fn leave(self) -> Result<()> {
        self.tell(Order::Leave);
        self.thread.join().expect("a worker does not panic")
    }
}

fn work(
    name: &'static str,
    mut consumer: Consumer<str, str>,
    board: &Mutex<Board>,
    orders: &Receiver<Order>,
) -> Result<()> {
    loop {
        let records = consumer.poll(Duration::from_millis(10))?;
        *lock(board).processed.entry(name).or_default() += records.len(); // the work
        consumer.commit_sync()?; // whoever gets a partition goes on behind what is done
        match orders.try_recv() {
            Ok(Order::Stall) => drop(orders.recv()),
            Ok(Order::Leave) => return consumer.close(), // commits, and lets the others have its partitions
            Ok(Order::GoOn) | Err(_) => {}
        }
    }
}

/// Sees partitions come and go. A listener may also commit and seek.
struct Watch {
    name: &'static str,
    board: Arc<Mutex<Board>>,
}

impl Watch {
    fn note(&self, word: &'static str, partitions: &[TopicPartition]) {
        let mut board = lock(&self.board);
        for number in partitions.iter().map(TopicPartition::partition) {
            board.moves.entry((word, self.name)).or_default().insert(number);
        }
    }
}

impl RebalanceListener<str, str> for Watch {
    fn on_partitions_revoked(
        &mut self,
        _consumer: &mut Consumer<str, str>,
        partitions: &[TopicPartition],
    ) -> std::result::Result<(), Cause> {
        self.note("gives up", partitions);
        Ok(())
    }

    fn on_partitions_assigned(
        &mut self,
        _consumer: &mut Consumer<str, str>,
        partitions: &[TopicPartition],
    ) -> std::result::Result<(), Cause> {
        self.note("takes", partitions);
        Ok(())
    }

    fn on_partitions_lost(
        &mut self,
        _consumer: &mut Consumer<str, str>,
        partitions: &[TopicPartition],
    ) -> std::result::Result<(), Cause> {
        self.note("finds that others have", partitions);
        Ok(())
    }
}
