//! Describing by providers that answer, refuse, and answer nonsense.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use serde_json::{Value, json};
use tintype_alt_text::{
    AltTextSettings, Budget, Day, Describer, Failure, HttpAnswer, HttpRequest, Sidecar, Tokens, Transport,
    TransportError, Wait,
    bedrock::{Bedrock, Credentials},
    budget::dollars,
    fingerprint,
    openai::OpenAi,
    settings::{ApiKey, Guardrail, Price, ProviderSettings},
    sidecar::Source,
    sidecar_of,
    signature::Keys,
};
use tintype_pipeline::store::{Location, ObjectKey};

fn settings() -> AltTextSettings {
    AltTextSettings {
        provider: ProviderSettings::OpenAi { endpoint: "http://model/v1".into(), key: ApiKey::None },
        model: "m".into(),
        prompt: None,
        languages: vec!["en".into()],
        max_chars: 100,
        max_tokens: 50,
        temperature: Some(0.2),
        top_p: None,
        timeout: Duration::from_secs(5),
        concurrency: 2,
        max_per_minute: 2,
        max_tokens_per_day: 1000,
        price: Price { input: 1.0, output: 5.0 },
    }
}

/// Answers what it was given, in order, and remembers what it was asked.
#[derive(Default)]
struct Script {
    answers: Mutex<VecDeque<Result<HttpAnswer, TransportError>>>,
    asked: Mutex<Vec<HttpRequest>>,
}

#[async_trait]
impl Transport for Script {
    async fn send(&self, request: HttpRequest, _: usize, _: Duration) -> Result<HttpAnswer, TransportError> {
        self.asked.lock().unwrap().push(request);
        self.answers.lock().unwrap().pop_front().expect("no more questions")
    }
}

fn answer(status: u16, body: &Value) -> Result<HttpAnswer, TransportError> {
    Ok(HttpAnswer { status, retry_after: None, body: body.to_string().into() })
}

fn chat(text: &str) -> Result<HttpAnswer, TransportError> {
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110});
    answer(200, &json!({"choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage}))
}

fn describer(answers: Vec<Result<HttpAnswer, TransportError>>) -> (Describer, Arc<Script>) {
    let script = Arc::new(Script { answers: Mutex::new(answers.into()), ..Script::default() });
    let provider = OpenAi::new("http://model/v1", Some("secret".into()), &settings());
    assert!(!format!("{provider:?}").contains("secret"));
    (Describer::new(Arc::new(provider), script.clone(), settings()), script)
}

#[tokio::test]
async fn an_image_is_described() {
    let (describer, script) = describer(vec![chat("{\"en\": \"A red bicycle.\"}")]);
    let description = describer.describe(b"JPEG").await.unwrap();
    assert_eq!(description.alt["en"], "A red bicycle.");
    assert_eq!((description.tokens, description.requests), (Tokens { input: 100, output: 10 }, 1));
    let asked = script.asked.lock().unwrap();
    assert_eq!(asked[0].url, "http://model/v1/chat/completions");
    assert!(asked[0].headers.contains(&("authorization", "Bearer secret".into())));
    let body: Value = serde_json::from_slice(&asked[0].body).unwrap();
    assert_eq!(body["messages"][1]["content"][1]["image_url"]["url"], "data:image/jpeg;base64,SlBFRw==");
    assert!(body.get("top_p").is_none() && body["temperature"] == 0.2 && body["max_tokens"] == 50);
}

#[tokio::test]
async fn nonsense_is_asked_again_once_by_a_stricter_prompt() {
    let good = "{\"en\": \"A red bicycle.\"}";
    let (describing, script) = describer(vec![chat("Sure! It is a bicycle."), chat(good)]);
    let description = describing.describe(b"JPEG").await.unwrap();
    assert_eq!((description.requests, description.tokens.total()), (2, 220));
    let text = |index: usize| {
        let body: Value = serde_json::from_slice(&script.asked.lock().unwrap()[index].body).unwrap();
        body["messages"][1]["content"][0]["text"].as_str().unwrap().to_owned()
    };
    assert!(!text(0).contains("could not be used") && text(1).contains("it is not a JSON object"));

    let (describing, _) = describer(vec![chat("<b>"), chat("{\"en\": \"<b>bold</b>\"}")]);
    let failure = describing.describe(b"JPEG").await.unwrap_err();
    let Failure::Image { message, tokens, requests } = failure else { panic!("{failure:?}") };
    assert!(message.contains("markup") && !message.contains("bold"), "{message}");
    assert_eq!((tokens.total(), requests), (220, 2));
}

#[tokio::test]
async fn parameters_that_a_model_refuses_are_left_out_from_then_on() {
    let refuses = |message: &str| answer(400, &json!({"error": {"message": message}}));
    let good = || chat("{\"en\": \"A red bicycle.\"}");
    let (describing, script) = describer(vec![
        refuses("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        refuses("Unsupported value: 'temperature' does not support 0.2 with this model."),
        good(),
        good(),
        refuses("'temperature' is wrong all the same, says secret"),
    ]);
    for _ in 0..2 {
        assert_eq!(describing.describe(b"JPEG").await.unwrap().requests, 1);
    }
    let bodies: Vec<Value> = script
        .asked
        .lock()
        .unwrap()
        .iter()
        .map(|asked| serde_json::from_slice(&asked.body).unwrap())
        .collect();
    assert_eq!(bodies.len(), 4);
    for body in &bodies[2..] {
        assert!(body["max_completion_tokens"] == 50 && body.get("max_tokens").is_none(), "{body}");
        assert!(body.get("temperature").is_none(), "{body}");
    }
    let failure = describing.describe(b"JPEG").await.unwrap_err();
    assert!(matches!(failure, Failure::Image { .. }), "it is sent again only once");
    assert!(!failure.to_string().contains("secret"), "{failure}");
}

#[tokio::test]
async fn what_fails_is_the_images_or_the_providers() {
    for (status, is_images) in [
        (400, true),
        (413, true),
        (500, true),
        (401, false),
        (403, false),
        (404, false),
        (429, false),
        (503, false),
    ] {
        let (describing, _) = describer(vec![answer(status, &json!({"error": {"message": "why"}}))]);
        let failure = describing.describe(b"JPEG").await.unwrap_err();
        assert_eq!(matches!(failure, Failure::Image { .. }), is_images, "{status}");
        assert!(failure.to_string().contains("why"), "{failure}");
    }
    let busy = HttpAnswer { status: 429, retry_after: Some("7".into()), body: "".into() };
    let (describing, _) = describer(vec![Ok(busy)]);
    let failure = describing.describe(b"JPEG").await.unwrap_err();
    let Failure::Provider { retry_after, .. } = failure else { panic!("{failure:?}") };
    assert_eq!(retry_after, Some(Duration::from_secs(7)));
    let (describing, _) = describer(vec![Err(TransportError::TimedOut)]);
    assert!(matches!(describing.describe(b"JPEG").await, Err(Failure::Silent { .. })));
    let (describing, _) = describer(vec![Err(TransportError::Unreachable("refused".into()))]);
    assert!(matches!(describing.describe(b"JPEG").await, Err(Failure::Provider { .. })));
    // Not what the provider's answers are, whatever the status.
    let (describing, _) = describer(vec![answer(200, &json!({"choices": []}))]);
    assert!(matches!(describing.describe(b"JPEG").await, Err(Failure::Image { .. })));
}

struct Fixed;

#[async_trait]
impl Credentials for Fixed {
    async fn keys(&self) -> Result<Keys, String> {
        let (access_key_id, secret_access_key) = ("AKID".into(), "secret".into());
        Ok(Keys { access_key_id, secret_access_key, session_token: None })
    }
}

#[tokio::test]
async fn converse_is_asked_by_a_signed_post() {
    let answered = json!({
        "output": {"message": {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "hm"}}}, {"text": "{\"en\": \"A cat.\"}"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 200, "outputTokens": 8, "totalTokens": 208},
        "metrics": {"latencyMs": 5},
    });
    let stopped =
        json!({"output": {"message": {"content": [{"text": "no"}]}}, "stopReason": "guardrail_intervened"});
    let answers = vec![answer(200, &answered), answer(200, &stopped)];
    let script = Arc::new(Script { answers: Mutex::new(answers.into()), ..Script::default() });
    let guardrail = Some(Guardrail { id: "g1".into(), version: "2".into() });
    let settings = AltTextSettings { model: "arn:aws:bedrock:x/y".into(), ..settings() };
    let provider = Bedrock::new("eu-west-1", None, guardrail, Arc::new(Fixed), &settings);
    let describing = Describer::new(Arc::new(provider), script.clone(), settings);
    let description = describing.describe(b"JPEG").await.unwrap();
    assert_eq!((description.alt["en"].as_str(), description.tokens.total()), ("A cat.", 208));
    {
        let asked = script.asked.lock().unwrap();
        let url =
            "https://bedrock-runtime.eu-west-1.amazonaws.com/model/arn%3Aaws%3Abedrock%3Ax%2Fy/converse";
        assert_eq!(asked[0].url, url);
        let body: Value = serde_json::from_slice(&asked[0].body).unwrap();
        assert_eq!(body["guardrailConfig"], json!({"guardrailIdentifier": "g1", "guardrailVersion": "2"}));
        assert_eq!(body["inferenceConfig"], json!({"maxTokens": 50, "temperature": 0.2}));
    }
    let failure = describing.describe(b"JPEG").await.unwrap_err();
    assert!(failure.to_string().contains("guardrail"), "{failure}");
}

#[test]
fn budgets_hold_and_are_renewed() {
    let day_begins = 20_000 * 86_400_000;
    let now = day_begins + 3_600_000;
    let mut budget = Budget::new(&settings(), now, Day::default());
    let used = |requests, input| Day { requests, described: 1, tokens: Tokens { input, output: 0 } };
    budget.begin(now).unwrap();
    budget.begin(now + 1000).unwrap();
    assert_eq!(budget.begin(now + 2000), Err(Wait::Minute(Duration::from_secs(58))));
    budget.ended(now + 2000, used(1, 100));
    budget.ended(now + 2000, used(1, 100));
    budget.begin(now + 60_000).unwrap();
    // A stricter prompt was a request, too.
    budget.ended(now + 60_000, used(2, 700));
    assert!(matches!(budget.begin(now + 60_500), Err(Wait::Minute(_))));
    // 900 of 1,000 are used, and an answer may have 50.
    let later = now + 600_000;
    budget.begin(later).unwrap();
    budget.begin(later).unwrap();
    budget.ended(later, used(1, 0));
    budget.ended(later, used(1, 60));
    let left = Duration::from_secs(86_400 - 3600 - 700);
    assert_eq!(budget.begin(later + 100_000), Err(Wait::Day(left)));
    assert_eq!(budget.today(later).tokens.input, 960);
    budget.begin(day_begins + 86_400_000).unwrap();
    // After a restart the day's use is known.
    let mut budget = Budget::new(&settings(), now, used(9, 960));
    assert!(matches!(budget.begin(now), Err(Wait::Day(_))));
    let cost = dollars(Tokens { input: 1_000_000, output: 200_000 }, settings().price);
    assert!((cost - 2.0).abs() < 1e-9);
}

#[tokio::test]
async fn a_sidecar_says_what_it_is_of_and_by() {
    let (describer, _) = describer(vec![chat("{\"en\": \"A \\\"red\\\" bicycle.\"}")]);
    let description = describer.describe(b"JPEG").await.unwrap();
    let source = Source { bucket: "in".into(), key: "a.jpg".into(), etag: "e1".into() };
    let sidecar = Sidecar::described(&settings(), "openai", source.clone(), description, 12, 0);
    let read = Sidecar::read(&sidecar.to_json()).unwrap();
    assert_eq!(read, sidecar);
    assert!(!read.edited && read.model.as_deref() == Some("m") && read.milliseconds == Some(12));
    let edited = Sidecar::edited(Some(read), source, [("en".into(), "My words".into())].into(), 1);
    assert!(edited.edited && edited.alt["en"] == "My words" && edited.model.is_some());
    assert!(Sidecar::read(b"{}").is_err());
    let at = Location { bucket: "out".into(), key: ObjectKey::new("thumb_a.jpg").unwrap() };
    assert_eq!(sidecar_of(&at).unwrap().key.as_str(), "thumb_a.jpg.json");

    let of = |change: fn(&mut AltTextSettings)| {
        let mut settings = settings();
        change(&mut settings);
        fingerprint(&settings, "e1")
    };
    let first = of(|_| {});
    assert_eq!(first, of(|settings| settings.max_per_minute = 1), "budgets do not count");
    let others = [
        of(|settings| settings.model = "n".into()),
        of(|settings| settings.prompt = Some("Short.".into())),
        of(|settings| settings.languages.push("de".into())),
        of(|settings| settings.max_chars = 99),
        fingerprint(&settings(), "e2"),
    ];
    assert!(!others.contains(&first));
}
