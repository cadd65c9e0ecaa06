//! What the control plane asks of the data plane, answered by the data plane's own code: of the gateway of
//! this process, or of the database where none runs in it.

use std::sync::{Arc, OnceLock};

use admin::ports::{DataPlane, PortError, ProviderTrial, SimulatedCall};
use admin_types::models::{SimulatedMeasures, SimulatedReason, SimulatedRefusal, SimulatedTarget, Simulation};
use admin_types::provider_tests::{OperationTest, TestError, TestSpeech};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use changes::Signal;
use domain::ids::{CredentialId, SessionId, TenantId};
use domain::provider::Operation;
use domain::routing::{Strategies, Target};
use futures_util::future::BoxFuture;
use gateway::Gateway;
use gateway::pipeline::explain::{Asker, Explanation, Outcome, Scenario, Verdict, explain, priced_models};
use gateway::pipeline::health::Health;
use gateway::probe::{Answer, Ask, Probed, Prober};
use gateway::repositories::models;
use gateway::settings::Timeouts;
use gateway::snapshot::load::{LoadError, load_prices};
use gateway::snapshot::{ProviderAccount, Snapshot};
use replicas::Replicas;
use sea_orm::DatabaseConnection;
use time::OffsetDateTime;

use crate::declared::Declared;

/// The data plane as this process has it.
pub(crate) struct Ports {
    /// Wakes whoever keeps the view of this process's gateway current.
    changed: Signal,
    /// The gateway, once it runs in this process.
    gateway: Arc<OnceLock<Arc<Gateway>>>,
    declared: Arc<Declared>,
    db: DatabaseConnection,
    prober: Prober,
    /// What is known of targets where no gateway runs here: nothing.
    unmeasured: Health,
    /// By which gateways of other processes are told, where there is a Redis.
    teller: Option<Replicas>,
}

impl Ports {
    /// The ports of a process that has this configuration.
    pub(crate) fn new(
        changed: Signal,
        gateway: Arc<OnceLock<Arc<Gateway>>>,
        declared: Arc<Declared>,
        db: DatabaseConnection,
        timeouts: Timeouts,
    ) -> Self {
        let unmeasured = Health::new(timeouts.breaker_open);
        Self { changed, gateway, declared, db, prober: Prober::new(timeouts), unmeasured, teller: None }
    }

    /// Tells gateways of other processes through Redis as well.
    pub(crate) fn telling(self, teller: Option<Replicas>) -> Self {
        Self { teller, ..self }
    }

    async fn decide(&self, asked: SimulatedCall) -> Result<Simulation, PortError> {
        let (scenario, operation) = (scenario(&asked), asked.call.operation);
        let now = OffsetDateTime::now_utc();
        let (snapshot, health, live) = match self.gateway.get() {
            Some(gateway) => (gateway.snapshot.load_full(), &gateway.health, true),
            None => (Arc::new(self.view(&asked, &scenario, now).await?), &self.unmeasured, false),
        };
        let key = match asked.key {
            None => None,
            Some(id) => Some(snapshot.key_by_id(id).ok_or_else(|| invalid("key_id", "there is no such key in use"))?),
        };
        let asker = Asker { tenant: asked.tenant, key: key.map(AsRef::as_ref) };
        let explained = explain(&snapshot, health, asker, operation, &scenario, now);
        let explained = explained.map_err(|error| invalid(error.param().unwrap_or("model"), error.message()))?;
        Ok(simulation(asked, explained, live))
    }

    /// What this one question needs of the database. Of the prices it has those of the targets.
    async fn view(
        &self,
        asked: &SimulatedCall,
        scenario: &Scenario,
        now: OffsetDateTime,
    ) -> Result<Snapshot, PortError> {
        let view = self.declared.load_for(&self.db, asked.tenant, &asked.model, asked.key).await;
        let mut view = view.map_err(unread)?;
        let (operation, tenant) = (asked.call.operation, asked.tenant);
        let priced = priced_models(&view, &self.unmeasured, tenant, operation, scenario, now);
        load_prices(&self.db, &mut view, tenant, &priced).await.map_err(unread)?;
        Ok(view)
    }

    async fn probe(&self, trial: ProviderTrial) -> Result<OperationTest, PortError> {
        // From the database, and not from the gateway's view: a provider that was made a moment ago is there.
        let found = self.declared.load_account(&self.db, trial.provider, trial.credential).await.map_err(unread)?;
        let account = found.ok_or(PortError::Unusable)?;
        let voices = models::list_voices(&self.db).await.map_err(|error| unread(error.into()))?;
        let ask = Ask {
            options: self.options(&account, trial.model.as_deref()).await?,
            model: trial.model,
            voice: trial.voice,
            transcribes: None,
        };
        let snapshot = Snapshot { voices, ..Snapshot::default() };
        let probed = self.prober.probe(&snapshot, &account, trial.operation, &ask).await;
        Ok(told(probed, account.credential.map(|credential| credential.id)))
    }

    /// What a target of some route says beside this model, such as its deployment.
    async fn options(&self, account: &ProviderAccount, model: Option<&str>) -> Result<Options, PortError> {
        let Some(model) = model else { return Ok(Options::new()) };
        let routes = models::list_models(&self.db).await.map_err(|error| unread(error.into()))?;
        let routes = routes.iter().map(|(route, _)| route);
        let visible = routes.filter(|route| route.tenant.is_none() || route.tenant == account.tenant);
        let mut targets = visible.flat_map(|route| &route.targets);
        let found = targets.find(|target| target.provider == account.name && target.model == model);
        Ok(found.map(|target| target.options.clone()).unwrap_or_default())
    }
}

type Options = std::collections::BTreeMap<String, String>;

impl DataPlane for Ports {
    fn changed(&self) {
        self.changed.wake();
        let Some(teller) = self.teller.clone() else { return };
        tokio::spawn(async move {
            // What is not told is looked for: gateways ask the database twice a second.
            if let Err(error) = teller.tell_change("").await {
                tracing::debug!(%error, "Redis could not tell gateways of a change");
            }
        });
    }

    fn terminated(&self, tenant: TenantId, session: SessionId, reason: &str) {
        let Some(teller) = self.teller.clone() else { return };
        let reason = reason.to_owned();
        tokio::spawn(async move {
            // Its row says so as well, for a gateway that does not hear of it here.
            if let Err(error) = teller.terminate(tenant, session, &reason).await {
                tracing::debug!(%error, %session, "Redis could not tell that a session shall end");
            }
        });
    }

    fn simulate(&self, asked: SimulatedCall) -> BoxFuture<'_, Result<Simulation, PortError>> {
        Box::pin(self.decide(asked))
    }

    fn test_provider(&self, asked: ProviderTrial) -> BoxFuture<'_, Result<OperationTest, PortError>> {
        Box::pin(self.probe(asked))
    }
}

fn unread(error: LoadError) -> PortError {
    tracing::warn!(%error, "the database does not answer the admin API");
    PortError::Unavailable
}

fn invalid(field: &str, detail: &str) -> PortError {
    PortError::Invalid { field: field.to_owned(), detail: detail.to_owned() }
}

fn scenario(asked: &SimulatedCall) -> Scenario {
    let call = &asked.call;
    Scenario {
        model: asked.model.clone(),
        region: call.region.clone(),
        strategy: call.strategy,
        format: call.format.clone(),
        language: call.language.clone(),
        streaming: call.streaming,
        characters: call.characters,
        audio_ms: call.audio_seconds.map(millis),
        voice: call.voice.clone(),
        transcription_session: call.transcription_session,
    }
}

/// Seconds as a person writes them.
fn millis(seconds: f64) -> u64 {
    std::time::Duration::try_from_secs_f64(seconds)
        .ok()
        .and_then(|length| u64::try_from(length.as_millis()).ok())
        .unwrap_or_default()
}

fn simulation(asked: SimulatedCall, explained: Explanation, live: bool) -> Simulation {
    let (model, operation): (String, Operation) = (asked.model, asked.call.operation);
    let strategy: Option<Strategies> = explained.strategy;
    let refused = explained.refused.map(|refused| SimulatedRefusal {
        status: refused.status,
        code: refused.code.to_owned(),
        message: refused.message,
    });
    let targets = explained.targets.into_iter().map(target).collect();
    Simulation { model, operation, strategy, refused, targets, live }
}

fn target(verdict: Verdict) -> SimulatedTarget {
    let Target { provider, model, weight, priority, quality, region, .. } = verdict.target;
    let mut measures = SimulatedMeasures { weight, priority, quality, region, ..SimulatedMeasures::default() };
    let (place, dropped) = match verdict.outcome {
        Outcome::Kept(kept) => {
            measures.in_region = kept.in_region;
            measures.ttfb_ms = kept.ttfb_ms;
            measures.expected_cost_usd = kept.cost.map(|cost| cost.to_string());
            measures.half_open = kept.half_open;
            measures.ejected = kept.ejected;
            measures.to_measure = kept.measures;
            measures.p95_ms = kept.p95_ms;
            measures.failed_share = kept.failed_share;
            (u32::try_from(kept.place).ok(), None)
        }
        Outcome::Dropped(reason) => {
            (None, Some(SimulatedReason { code: reason.code.to_owned(), message: reason.message }))
        }
    };
    SimulatedTarget { provider, provider_kind: verdict.kind, model, place, dropped, measures }
}

fn told(probed: Probed, credential: Option<CredentialId>) -> OperationTest {
    let (ok, mut text, mut speech, mut error) = (probed.outcome.is_ok(), None, None, None);
    match probed.outcome {
        Ok(Answer::Text(answer)) => text = Some(answer),
        Ok(Answer::Speech { content_type, length, audio }) => {
            let base64 = audio.map(|audio| STANDARD.encode(audio));
            speech = Some(TestSpeech { content_type: content_type.to_owned(), length, base64 });
        }
        Err(failure) => {
            error = Some(TestError { code: failure.kind.as_str().to_owned(), message: failure.message });
        }
    }
    OperationTest {
        credential_id: credential.map(|id| id.0),
        operation: probed.operation,
        model: (!probed.model.is_empty()).then_some(probed.model),
        ok,
        http_status: probed.http_status,
        first_byte_ms: probed.first_byte_ms,
        total_ms: probed.total_ms,
        text,
        speech,
        error,
    }
}
