//! What one tenant has, another neither pays nor sees.

use domain::ids::TenantId;
use domain::pricing::Unit;
use domain::provider::Operation;
use uuid::Uuid;

use super::helpers::*;

const ACME: TenantId = TenantId(Uuid::from_u128(2));
const ACME_KEY: &str = "sk-ap-the-key-of-acme";

#[tokio::test]
async fn a_tenants_own_price_is_billed_to_it_alone() {
    let mut setup = Setup::new().await;
    setup.price_of(Some(ACME), "tts-1", Operation::Speech, Unit::MillionCharacters, "10");
    setup.key(ACME_KEY, |key| key.tenant = ACME);
    let app = setup.start().await;
    for (key, nano) in [(KEY, 75_000), (ACME_KEY, 50_000)] {
        let answer = app.call(speech(key, "tts", "Hello")).await;
        let records = app.records_of(key, answer.header("x-request-id").parse().unwrap()).await;
        assert_eq!(records[0].cost.map(|cost| cost.0), Some(nano), "five characters");
        let model = app.call(get("/v1/models/tts", key)).await.json();
        let price = model["antiphon"]["prices"][0]["usd"].as_str().unwrap();
        assert_eq!(price, if key == KEY { "15" } else { "10" });
    }
}
