use std::path::Path;

use redb::{Database, ReadableDatabase, TableDefinition};

use super::Log;
use crate::Outcome;
use crate::steps::Found;

const TABLE: TableDefinition<u64, &[u8]> = TableDefinition::new("t");

struct Appending {
    database: Database,
    next: u64,
}

fn database(directory: &Path) -> Outcome<Database> {
    std::fs::create_dir_all(directory)?;
    Ok(Database::create(directory.join("t.redb"))?)
}

pub fn open(directory: &Path) -> Outcome<Box<dyn Log>> {
    Ok(Box::new(Appending { database: database(directory)?, next: 0 }))
}

impl Log for Appending {
    fn append(&mut self, record: &[u8]) -> Outcome<()> {
        let key = self.next;
        self.next += 1; // whatever becomes of it: a key is used once
        let transaction = self.database.begin_write()?;
        transaction.open_table(TABLE)?.insert(key, record)?;
        Ok(transaction.commit()?)
    }

    fn close(self: Box<Self>) -> Outcome<()> {
        Ok(())
    }
}

pub fn read(directory: &Path, found: &mut Found) -> Outcome<()> {
    let mut database = database(directory)?;
    read_all(&database, found)?;
    // What reading does not look at; last, since it may repair.
    match database.check_integrity() {
        Ok(true) => {}
        Ok(false) => found.said("check_integrity: it was damaged, and is repaired"),
        Err(error) => found.said(format_args!("check_integrity: {error}")),
    }
    Ok(())
}

fn read_all(database: &Database, found: &mut Found) -> Outcome<()> {
    let table = database.begin_read()?.open_table(TABLE)?;
    for entry in table.range::<u64>(..)? {
        match entry {
            Ok((_, value)) => found.record(value.value()),
            Err(error) => found.said(error),
        }
    }
    Ok(())
}
