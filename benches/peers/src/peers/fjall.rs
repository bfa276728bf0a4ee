use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::Log;
use crate::Outcome;
use crate::steps::Found;

struct Appending {
    database: Database,
    keyspace: Keyspace,
    next: u64,
}

fn database(directory: &Path) -> Outcome<(Database, Keyspace)> {
    let database = Database::builder(directory).open()?;
    let keyspace = database.keyspace("t", KeyspaceCreateOptions::default)?;
    Ok((database, keyspace))
}

pub fn open(directory: &Path) -> Outcome<Box<dyn Log>> {
    let (database, keyspace) = database(directory)?;
    Ok(Box::new(Appending { database, keyspace, next: 0 }))
}

impl Log for Appending {
    fn append(&mut self, record: &[u8]) -> Outcome<()> {
        let key = self.next.to_be_bytes();
        self.next += 1; // whatever becomes of it: a key is used once
        self.keyspace.insert(key, record)?;
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}

pub fn read(directory: &Path, found: &mut Found) -> Outcome<()> {
    let (_database, keyspace) = database(directory)?;
    for entry in keyspace.iter() {
        match entry.value() {
            Ok(value) => found.record(&value),
            Err(error) => found.said(error),
        }
    }
    Ok(())
}
