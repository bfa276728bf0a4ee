//! What an operator asks for: topics made, shown and deleted, groups shown, reset and deleted, offsets looked up, a
//! directory repaired, or handed over to a Kafka cluster.

mod export;
mod groups;
mod import;
mod offsets;
mod repair;
mod topics;

use crate::engine::Engine;

pub use crate::coordinator::group::{
    GroupDescription, GroupListing, GroupMember, GroupMembers, GroupOffsetChange, GroupPartition, GroupReset,
    GroupState,
};
pub use crate::topics::TopicListing;
pub use export::{ExportOptions, ExportReport, ExportedPartition, ExportedTopic, export};
pub use import::{ImportOptions, ImportReport, PartitionImport, TopicImport};
pub use offsets::{ListedOffset, OffsetSpec};
pub use repair::{RepairAction, RepairOptions, RepairReport, RepairStep, repair};
pub use topics::{NewTopic, PartitionDescription, TopicDescription};

/// Makes, shows and deletes topics; shows, resets and deletes groups. Any number may be in use at a time, beside anything else.
///
/// ```
/// # use ottla::{Admin, Engine, NewTopic};
/// let engine = Engine::in_memory()?;
/// let admin = Admin::new(&engine);
/// admin.create_topic(NewTopic::new("orders").partitions(4))?;
/// assert_eq!(admin.list_topics()?[0].name, "orders");
/// # Ok::<(), ottla::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Admin {
    engine: Engine,
}

impl Admin {
    /// An administrator of `engine`. It keeps the engine open, as producers and consumers do. Kafka: `Admin`.
    #[must_use]
    pub fn new(engine: &Engine) -> Self {
        Self { engine: engine.clone() }
    }
}

#[cfg(test)]
mod tests;
