//! Whether a model can be served at all.

use std::collections::BTreeSet;

use admin_types::models::{ModelHedge, ModelTarget};
use admin_types::problem::FieldProblem;
use domain::ids::TenantId;
use domain::routing::hedge::{Hedge, LEAST_MS, MOST_MS};
use domain::routing::{Strategies, Strategy};
use sea_orm::ConnectionTrait;

use crate::error::AdminError;
use crate::repositories::models;

/// Option that names what runs at the provider instead of the model.
const DEPLOYMENT: &str = "deployment";
const MAX_NAME_BYTES: usize = 128;
const MAX_TARGETS: usize = 64;
const MAX_MODEL_BYTES: usize = 256;
const MAX_REGION_BYTES: usize = 64;
const MAX_WEIGHT: u32 = 1_000_000;
const MAX_OPTIONS: usize = 16;
const MAX_OPTION_NAME_BYTES: usize = 64;
const MAX_OPTION_BYTES: usize = 1024;

/// Checks all of a model, and tells every field at fault.
///
/// # Errors
/// 422, or the database's.
pub(super) async fn check(
    db: &impl ConnectionTrait,
    owner: Option<TenantId>,
    name: &str,
    strategy: Strategies,
    targets: &[ModelTarget],
    hedge: Option<ModelHedge>,
) -> Result<(), AdminError> {
    let mut problems = Problems::default();
    problems.name(name);
    if hedge.is_some_and(|hedge| !Hedge { unmeasured_ms: hedge.unmeasured_ms }.is_sane()) {
        problems.add("hedge.unmeasured_ms", format!("must be {LEAST_MS} to {MOST_MS}"));
    }
    problems.targets(strategy, targets);
    let providers = models::provider_names(db, owner).await?;
    let own = match owner {
        Some(tenant) => Some(models::own_provider_names(db, tenant).await?),
        None => None,
    };
    for (index, target) in targets.iter().enumerate().take(MAX_TARGETS) {
        if !providers.contains(&target.provider) {
            problems.add(format!("targets[{index}].provider"), "there is no such provider");
        } else if target.options.contains_key(DEPLOYMENT)
            && own.as_ref().is_some_and(|own| !own.contains(&target.provider))
        {
            // Another model would run there than the one that is billed.
            let detail = "is for the tenant's own providers, and this is the platform's";
            problems.add(format!("targets[{index}].options.{DEPLOYMENT}"), detail);
        }
    }
    if problems.0.is_empty() { Ok(()) } else { Err(AdminError::Invalid(problems.0)) }
}

#[derive(Default)]
struct Problems(Vec<FieldProblem>);

impl Problems {
    fn add(&mut self, field: impl Into<String>, detail: impl Into<String>) {
        self.0.push(FieldProblem { field: field.into(), detail: detail.into() });
    }

    fn name(&mut self, name: &str) {
        let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.:/@+".contains(letter);
        let begins = name.starts_with(|letter: char| letter.is_ascii_alphanumeric());
        if !begins || name.len() > MAX_NAME_BYTES || !name.chars().all(is_allowed) {
            let detail =
                format!("must be 1 to {MAX_NAME_BYTES} letters, digits or `-_.:/@+`, beginning with a letter or digit");
            self.add("name", detail);
        }
    }

    fn targets(&mut self, strategy: Strategies, targets: &[ModelTarget]) {
        if targets.is_empty() || targets.len() > MAX_TARGETS {
            return self.add("targets", format!("must be 1 to {MAX_TARGETS}"));
        }
        if strategy.contains(Strategy::Weighted) && targets.iter().all(|target| target.weight == 0) {
            self.add("targets", "at least one weight must be above 0 under `weighted`");
        }
        let mut seen = BTreeSet::new();
        for (index, target) in targets.iter().enumerate() {
            self.target(index, target);
            if !seen.insert((&target.provider, &target.model, &target.options)) {
                self.add(format!("targets[{index}]"), "stands in the list already");
            }
        }
    }

    fn target(&mut self, index: usize, target: &ModelTarget) {
        let at = |field: &str| format!("targets[{index}].{field}");
        if !is_text(&target.model, MAX_MODEL_BYTES) {
            self.add(at("model"), format!("must be 1 to {MAX_MODEL_BYTES} bytes without control characters"));
        }
        if target.weight > MAX_WEIGHT {
            self.add(at("weight"), format!("must be at most {MAX_WEIGHT}"));
        }
        if target.quality.is_some_and(|quality| !(0.0..=1.0).contains(&quality)) {
            self.add(at("quality"), "must be from 0 to 1");
        }
        if target.region.as_ref().is_some_and(|region| !is_text(region, MAX_REGION_BYTES)) {
            self.add(at("region"), format!("must be 1 to {MAX_REGION_BYTES} bytes without control characters"));
        }
        if target.options.len() > MAX_OPTIONS {
            self.add(at("options"), format!("must be at most {MAX_OPTIONS}"));
        }
        for (name, value) in target.options.iter().take(MAX_OPTIONS) {
            if !is_text(name, MAX_OPTION_NAME_BYTES) || !is_text(value, MAX_OPTION_BYTES) {
                let detail = format!(
                    "a name has 1 to {MAX_OPTION_NAME_BYTES} bytes and a value 1 to {MAX_OPTION_BYTES}, without \
                     control characters"
                );
                self.add(at("options"), detail);
            }
        }
    }
}

/// Some text of at most so many bytes.
fn is_text(text: &str, most: usize) -> bool {
    !text.is_empty() && text.len() <= most && !text.chars().any(char::is_control)
}
