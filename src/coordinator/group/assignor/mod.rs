//! stand-in
#![allow(missing_docs, unused, clippy::all)]
use crate::error::Cause;
use crate::types::TopicPartition;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
pub trait Assignor: fmt::Debug + Send + Sync {
    fn name(&self) -> &str;
    fn assign(&self, group: &GroupSubscription) -> Result<GroupAssignment, Cause>;
}
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct GroupSubscription {
    pub topics: BTreeMap<Arc<str>, u32>,
    pub members: BTreeMap<Arc<str>, MemberSubscription>,
}
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct MemberSubscription {
    pub topics: BTreeSet<Arc<str>>,
    pub owned: Vec<TopicPartition>,
    pub generation: Option<u64>,
    pub instance: Option<Arc<str>>,
}
pub type GroupAssignment = BTreeMap<Arc<str>, Vec<TopicPartition>>;
macro_rules! a {
    ($t:ident, $n:literal) => {
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $t;
        impl Assignor for $t {
            fn name(&self) -> &str {
                $n
            }
            fn assign(&self, g: &GroupSubscription) -> Result<GroupAssignment, Cause> {
                let mut out: GroupAssignment = g.members.keys().map(|m| (m.clone(), vec![])).collect();
                for (t, n) in &g.topics {
                    let ms: Vec<_> =
                        g.members.iter().filter(|(_, m)| m.topics.contains(t)).map(|(i, _)| i.clone()).collect();
                    if ms.is_empty() {
                        continue;
                    }
                    let (q, r) = (*n as usize / ms.len(), *n as usize % ms.len());
                    let mut p = 0;
                    for (i, m) in ms.iter().enumerate() {
                        for _ in 0..(q + usize::from(i < r)) {
                            out.get_mut(m).unwrap().push(TopicPartition::new(t.clone(), p));
                            p += 1;
                        }
                    }
                }
                Ok(out)
            }
        }
    };
}
a!(RangeAssignor, "range");
a!(RoundRobinAssignor, "roundrobin");
a!(StickyAssignor, "sticky");
a!(CooperativeStickyAssignor, "cooperative-sticky");
pub(crate) fn by_name(name: &str) -> Option<Arc<dyn Assignor>> {
    Some(match name {
        "range" => Arc::new(RangeAssignor),
        "roundrobin" => Arc::new(RoundRobinAssignor),
        "sticky" => Arc::new(StickyAssignor),
        "cooperative-sticky" => Arc::new(CooperativeStickyAssignor),
        _ => return None,
    })
}
