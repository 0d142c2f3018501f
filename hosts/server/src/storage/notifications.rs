//! Which triggers are in force: those of the settings, which only the settings change, and those set
//! through the S3 endpoint, which persist in the ledger. All of them together pass the overlap and loop
//! checks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use tintype_pipeline::{
    Suffixes,
    event::CreatedTypes,
    trigger::{Trigger, check_all},
};

use super::{StoreFault, buckets::existing};
use crate::ledger::{Ledger, NotificationRecord};

/// The triggers in force.
#[derive(Debug)]
pub struct Notifications {
    ledger: Arc<Ledger>,
    fixed: Vec<Trigger>,
    function_arn: String,
    set: Mutex<BTreeMap<String, Vec<NotificationRecord>>>,
    triggers: ArcSwap<Vec<Trigger>>,
}

impl Notifications {
    pub(super) fn new(
        ledger: Arc<Ledger>,
        fixed: Vec<Trigger>,
        function_name: &str,
    ) -> Result<Self, StoreFault> {
        let set: BTreeMap<_, _> = ledger
            .view()?
            .buckets()?
            .into_iter()
            .filter(|(_, record)| !record.notifications.is_empty())
            .map(|(name, record)| (name, record.notifications))
            .collect();
        let notifications = Self {
            ledger,
            fixed,
            function_arn: format!("arn:aws:lambda:us-east-1:000000000000:function:{function_name}"),
            set: Mutex::default(),
            triggers: ArcSwap::default(),
        };
        let all = notifications.all(&set).map_err(|error| {
            StoreFault::Notification(format!(
                "the triggers in the settings contradict notifications that were set through the S3 endpoint: {error}"
            ))
        })?;
        notifications.triggers.store(Arc::new(all));
        *notifications.set.lock().unwrap_or_else(PoisonError::into_inner) = set;
        Ok(notifications)
    }

    /// The function's ARN, as notifications name it.
    #[must_use]
    pub fn function_arn(&self) -> &str {
        &self.function_arn
    }

    /// The triggers in force.
    #[must_use]
    pub fn triggers(&self) -> Arc<Vec<Trigger>> {
        self.triggers.load_full()
    }

    /// The bucket that notifications set through S3 write thumbnails into; `None`: there can be none.
    #[must_use]
    pub fn destination(&self) -> Option<&str> {
        self.fixed.first().map(|trigger| trigger.destination.as_str())
    }

    /// Whether a trigger in the settings reads or writes a bucket.
    pub(super) fn is_fixed(&self, bucket: &str) -> bool {
        self.fixed.iter().any(|trigger| trigger.bucket == bucket || trigger.destination == bucket)
    }

    /// A deleted bucket takes its notifications with it.
    pub(super) fn forget(&self, bucket: &str) {
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        if set.remove(bucket).is_some()
            && let Ok(all) = self.all(&set)
        {
            self.triggers.store(Arc::new(all));
        }
    }

    /// All triggers, checked together. A notification set through S3 calls the function as the first
    /// trigger of the settings does: same destination, same renditions.
    fn all(&self, set: &BTreeMap<String, Vec<NotificationRecord>>) -> Result<Vec<Trigger>, String> {
        let mut all = self.fixed.clone();
        let first = self.fixed.first();
        for (bucket, records) in set {
            for record in records {
                let first = first.ok_or("the settings have no trigger whose renditions could be used")?;
                // Of types that never occur here there is nothing to call the function for.
                if !record.created && !record.removed {
                    continue;
                }
                all.push(Trigger {
                    id: Some(record.id.clone()),
                    bucket: bucket.clone(),
                    prefix: record.prefix.clone(),
                    suffixes: Some(&record.suffix)
                        .filter(|suffix| !suffix.is_empty())
                        .cloned()
                        .into_iter()
                        .collect(),
                    destination: first.destination.clone(),
                    created: record.created,
                    created_types: record
                        .events
                        .iter()
                        .fold(CreatedTypes::NONE, |types, event| types | CreatedTypes::of(event)),
                    removed: record.removed,
                    renditions: first.renditions.clone(),
                });
            }
        }
        check_all(&all)?;
        Ok(all)
    }

    /// The notifications that the settings' triggers amount to in S3's terms: one for each suffix. Extensions in any case
    /// are no suffixes of S3's: of those triggers it is one without a suffix, whose id says of which keys.
    fn fixed_records(&self, bucket: &str) -> Vec<NotificationRecord> {
        let mut records = Vec::new();
        for (index, trigger) in self.fixed.iter().enumerate().filter(|(_, trigger)| trigger.bucket == bucket)
        {
            let everything = [String::new()];
            for suffix in trigger.suffixes.in_s3().unwrap_or(&everything) {
                let mut events = vec!["s3:ObjectCreated:*".to_owned()];
                if trigger.removed {
                    events.push("s3:ObjectRemoved:*".to_owned());
                }
                records.push(NotificationRecord {
                    id: match trigger.suffixes {
                        Suffixes::Images => format!("settings-{}-{}", index + 1, Suffixes::IMAGES),
                        Suffixes::Listed(_) => format!("settings-{}{suffix}", index + 1),
                    },
                    prefix: trigger.prefix.clone(),
                    suffix: suffix.clone(),
                    created: trigger.created,
                    removed: trigger.removed,
                    events,
                });
            }
        }
        records
    }

    /// A bucket's notifications: those of the settings first.
    ///
    /// # Errors
    /// The bucket does not exist.
    pub fn of(&self, bucket: &str) -> Result<Vec<NotificationRecord>, StoreFault> {
        let record = existing(&self.ledger.view()?, bucket)?;
        Ok(self.fixed_records(bucket).into_iter().chain(record.notifications).collect())
    }

    /// Replaces a bucket's notifications. Those of the settings must be among `records` unchanged, as
    /// only the settings change them.
    ///
    /// # Errors
    /// The bucket does not exist, the settings' notifications are missing or changed, or the triggers
    /// would overlap or loop.
    pub fn set(&self, bucket: &str, records: Vec<NotificationRecord>) -> Result<(), StoreFault> {
        existing(&self.ledger.view()?, bucket)?;
        let fixed = self.fixed_records(bucket);
        if let Some(missing) = fixed.iter().find(|fixed| !records.contains(fixed)) {
            return Err(StoreFault::Notification(format!(
                "bucket \"{bucket}\" has triggers in the settings file, which are read-only here: \"{}\" is missing or \
                 changed. Change the settings file, or leave what GetBucketNotificationConfiguration returns and add to it",
                missing.id
            )));
        }
        let records: Vec<_> = records.into_iter().filter(|record| !fixed.contains(record)).collect();
        // Held until the ledger has it, so that two changes at once cannot pass the checks side by side.
        let mut set = self.set.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = set.clone();
        if records.is_empty() {
            changed.remove(bucket);
        } else {
            changed.insert(bucket.to_owned(), records.clone());
        }
        let all = self.all(&changed).map_err(StoreFault::Notification)?;
        let name = bucket.to_owned();
        let pending = self.ledger.submit(Vec::new(), move |changes| {
            let mut record = changes.bucket(&name)?.ok_or_else(|| StoreFault::NoSuchBucket(name.clone()))?;
            record.notifications = records;
            Ok::<_, StoreFault>(changes.put_bucket(&name, &record)?)
        });
        pending.wait()?;
        *set = changed;
        self.triggers.store(Arc::new(all));
        Ok(())
    }
}
