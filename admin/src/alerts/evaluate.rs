//! One look at every rule: what is found, what follows, and the messages of it, in one transaction for each
//! rule.

use std::collections::HashMap;

use admin_types::alerts::{Condition, MessageKind};
use domain::ids::TenantId;
use entities::{Id, alert_event, alert_rule};
use sea_orm::{ColumnTrait, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder};
use time::OffsetDateTime;

use super::decide::{Open, Step, steps};
use super::{lease, readings};
use crate::repositories::alerts::{deliveries, events, rules};

/// Looks at every rule, unless another process does so.
pub(super) async fn all(db: &DatabaseConnection, holder: &str, now: OffsetDateTime) -> Result<bool, DbErr> {
    if !lease::take(db, holder, now).await? {
        return Ok(false);
    }
    let rules = alert_rule::Entity::find()
        .filter(alert_rule::Column::Enabled.eq(true))
        .order_by_asc(alert_rule::Column::Id)
        .all(db)
        .await?;
    let mut open: HashMap<Id, Vec<alert_event::Model>> = HashMap::new();
    for event in events::open(db).await? {
        open.entry(event.rule_id).or_default().push(event);
    }
    for rule in rules {
        let open = open.remove(&rule.id).unwrap_or_default();
        // A rule that cannot be looked at keeps no other from it.
        if let Err(error) = one(db, &rule, &open, now).await {
            tracing::warn!(rule = %rule.id, %error, "an alert rule could not be looked at");
        }
    }
    // What is left belongs to rules that are gone or switched off: nobody watches it any more.
    for event in open.into_values().flatten() {
        let transaction = database::begin_writing(db).await?;
        events::close(&transaction, &event, now).await?;
        transaction.commit().await?;
    }
    Ok(true)
}

async fn one(
    db: &DatabaseConnection,
    rule: &alert_rule::Model,
    events: &[alert_event::Model],
    now: OffsetDateTime,
) -> Result<(), DbErr> {
    let condition: Condition =
        serde_json::from_str(&rule.parameters).map_err(|error| DbErr::Custom(format!("its condition: {error}")))?;
    let owner = rule.tenant_id.map(|id| TenantId(id.0));
    let found = readings::read(db, owner, &condition, now).await?;
    let open: Vec<Open> = events.iter().map(as_open).collect();
    let steps = steps(&open, found, readings::hold(&condition), now);
    let is_muted = rule.muted_until.is_some_and(|until| until > now);
    let is_untold = |event: &alert_event::Model| events::is_firing(event) && is_to_tell(event);
    // Most looks find nothing new, and then nothing is written.
    if steps.is_empty() && (is_muted || !events.iter().any(is_untold)) {
        return Ok(());
    }
    let transaction = database::begin_writing(db).await?;
    let outlet = Outlet { rule, is_muted, channels: rules::enabled_channels(&transaction, rule.id).await?, now };
    for step in steps {
        outlet.take(&transaction, &condition, step, events).await?;
    }
    outlet.tell_untold(&transaction).await?;
    transaction.commit().await
}

fn as_open(event: &alert_event::Model) -> Open {
    Open {
        id: event.id.0,
        subject: event.subject.clone(),
        firing: events::is_firing(event),
        started_at: event.started_at,
    }
}

/// Nobody was told, and nobody has taken note.
fn is_to_tell(event: &alert_event::Model) -> bool {
    event.notified_at.is_none() && event.acknowledged_at.is_none()
}

/// Where the alerts of a rule go.
struct Outlet<'a> {
    rule: &'a alert_rule::Model,
    is_muted: bool,
    channels: Vec<Id>,
    now: OffsetDateTime,
}

impl Outlet<'_> {
    async fn take(
        &self,
        transaction: &DatabaseTransaction,
        condition: &Condition,
        step: Step,
        open: &[alert_event::Model],
    ) -> Result<(), DbErr> {
        match step {
            Step::Begin { reading, firing } => {
                let threshold = readings::threshold(condition);
                events::begin(transaction, self.rule, &reading, threshold, firing, self.now).await
            }
            Step::Fire { id, value } => events::fire(transaction, Id(id), value).await,
            Step::Resolve(id) | Step::Forget(id) => {
                let Some(event) = open.iter().find(|event| event.id.0 == id) else { return Ok(()) };
                let Some(closed) = events::close(transaction, event, self.now).await? else { return Ok(()) };
                // Whoever was not told that it began need not hear that it is over.
                if closed.notified_at.is_none() || self.is_muted {
                    return Ok(());
                }
                deliveries::enqueue(transaction, &closed, MessageKind::Resolved, &self.channels, self.now).await
            }
        }
    }

    /// Tells of alerts that fire and of which nobody was told: new ones, and those of a rule that was muted or
    /// had no channel.
    async fn tell_untold(&self, transaction: &DatabaseTransaction) -> Result<(), DbErr> {
        if self.is_muted || self.channels.is_empty() {
            return Ok(());
        }
        for event in events::open_of(transaction, self.rule.id).await? {
            if events::is_firing(&event) && is_to_tell(&event) {
                let event = events::mark_told(transaction, event, self.now).await?;
                deliveries::enqueue(transaction, &event, MessageKind::Firing, &self.channels, self.now).await?;
            }
        }
        Ok(())
    }
}
