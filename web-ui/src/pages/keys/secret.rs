//! The secret of a key, this once, with code that uses it.

use admin_types::keys::{KeyWithSecret, VirtualKey};
use admin_types::models::{ListModels, Model};
use domain::provider::Operation;
use leptos::prelude::*;

use crate::api::{models, use_client};
use crate::components::{Button, ButtonKind, Choice, Code, CopyField, Notice, TabPanel, Tabs, Tone};
use crate::session::use_session;

/// Where the gateway is not known.
const NO_GATEWAY: &str = "https://your-gateway.example";
/// Where there is no model yet.
const NO_MODEL: &str = "your-model";

/// Shows it; what is in here is gone when the dialog closes.
#[component]
pub(super) fn Secret(made: KeyWithSecret, open: RwSignal<bool>) -> impl IntoView {
    let secret = made.secret.clone();
    view! {
        <div class="form">
            <Notice tone=Tone::Warn title="Copy the secret now">
                "It is shown this once and kept nowhere. Whoever has it spends on this key."
            </Notice>
            <CopyField label="Secret" value=secret.clone() />
            <Snippets key=made.key secret />
            <div class="form-actions">
                <Button kind=ButtonKind::Primary on_press=move || open.set(false)>
                    "Done"
                </Button>
            </div>
        </div>
    }
}

#[component]
fn Snippets(key: VirtualKey, secret: String) -> impl IntoView {
    let (client, session) = (use_client(), use_session());
    let call = Call::of(&key.operations);
    let found = LocalResource::new(move || {
        let query = ListModels { limit: Some(500), ..ListModels::default() };
        let (patterns, tenant) = (key.models.clone(), key.tenant_id);
        async move {
            let page = models::list_models(&client, &query).await.ok()?;
            // The platform's models are everybody's.
            let is_theirs = |model: &Model| model.tenant_id.is_none_or(|owner| owner == tenant);
            page.data
                .into_iter()
                .find(|model| is_theirs(model) && allows(&patterns, &model.name))
                .map(|model| model.name)
        }
    });
    let model = move || found.get().flatten().unwrap_or_else(|| NO_MODEL.to_owned());
    let gateway =
        move || session.instance().and_then(|instance| instance.gateway_url).unwrap_or_else(|| NO_GATEWAY.to_owned());
    let text = move |write: fn(&Snippet) -> String| {
        let secret = secret.clone();
        Signal::derive(move || {
            let (gateway, model) = (gateway(), model());
            let gateway = gateway.trim_end_matches('/').to_owned();
            write(&Snippet { gateway, secret: secret.clone(), model, call })
        })
    };
    let [curl, python, node] = [text(Snippet::curl), text(Snippet::python), text(Snippet::node)];
    let shown = RwSignal::new("curl".to_owned());
    let tabs = Choice::list(&[("curl", "curl"), ("python", "Python"), ("node", "Node")]);
    view! {
        <div>
            <Tabs label="Code that uses the key" group="snippets" selected=shown tabs />
            <TabPanel group="snippets" name="curl" selected=shown>
                <Code language="curl" text=curl />
            </TabPanel>
            <TabPanel group="snippets" name="python" selected=shown>
                <Code language="Python" text=python />
            </TabPanel>
            <TabPanel group="snippets" name="node" selected=shown>
                <Code language="Node" text=node />
            </TabPanel>
        </div>
    }
}

/// What the code does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Speech,
    Transcription,
    Chat,
    /// Which models there are, which every key may ask.
    Models,
}

impl Call {
    /// The first that a key may make.
    fn of(operations: &[Operation]) -> Self {
        let may = |operation| operations.is_empty() || operations.contains(&operation);
        if may(Operation::Speech) {
            Self::Speech
        } else if may(Operation::Transcription) {
            Self::Transcription
        } else if may(Operation::Chat) {
            Self::Chat
        } else {
            Self::Models
        }
    }
}

struct Snippet {
    gateway: String,
    secret: String,
    model: String,
    call: Call,
}

impl Snippet {
    fn curl(&self) -> String {
        let Self { gateway, secret, model, .. } = self;
        let head = |path: &str| format!("curl {gateway}/v1/{path} \\\n  -H \"Authorization: Bearer {secret}\"");
        let json = |path: &str, body: &str, rest: &str| {
            format!("{} \\\n  -H \"Content-Type: application/json\" \\\n  -d '{body}'{rest}", head(path))
        };
        match self.call {
            Call::Speech => {
                let body = format!(r#"{{"model": "{model}", "voice": "alloy", "input": "Hello."}}"#);
                json("audio/speech", &body, " \\\n  --output hello.mp3")
            }
            Call::Transcription => {
                format!("{} \\\n  -F model={model} \\\n  -F file=@recording.wav", head("audio/transcriptions"))
            }
            Call::Chat => {
                let body = format!(r#"{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello."}}]}}"#);
                json("chat/completions", &body, "")
            }
            Call::Models => head("models"),
        }
    }

    fn python(&self) -> String {
        let Self { gateway, secret, model, .. } = self;
        let call = match self.call {
            Call::Speech => format!(
                "answer = client.audio.speech.create(model=\"{model}\", voice=\"alloy\", input=\"Hello.\")\n\
                 answer.write_to_file(\"hello.mp3\")"
            ),
            Call::Transcription => format!(
                "with open(\"recording.wav\", \"rb\") as file:\n    \
                 print(client.audio.transcriptions.create(model=\"{model}\", file=file).text)"
            ),
            Call::Chat => format!(
                "messages = [{{\"role\": \"user\", \"content\": \"Hello.\"}}]\n\
                 print(client.chat.completions.create(model=\"{model}\", messages=messages).choices[0].message.content)"
            ),
            Call::Models => "for model in client.models.list():\n    print(model.id)".to_owned(),
        };
        format!(
            "from openai import OpenAI\n\nclient = OpenAI(base_url=\"{gateway}/v1\", api_key=\"{secret}\")\n{call}\n"
        )
    }

    fn node(&self) -> String {
        let Self { gateway, secret, model, .. } = self;
        let (more, call) = match self.call {
            Call::Speech => (
                "import { writeFile } from \"node:fs/promises\";\n",
                format!(
                    "const answer = await client.audio.speech.create({{ model: \"{model}\", voice: \"alloy\", input: \"Hello.\" }});\n\
                     await writeFile(\"hello.mp3\", Buffer.from(await answer.arrayBuffer()));"
                ),
            ),
            Call::Transcription => (
                "import { createReadStream } from \"node:fs\";\n",
                format!(
                    "const file = createReadStream(\"recording.wav\");\n\
                     console.log((await client.audio.transcriptions.create({{ model: \"{model}\", file }})).text);"
                ),
            ),
            Call::Chat => (
                "",
                format!(
                    "const messages = [{{ role: \"user\", content: \"Hello.\" }}];\n\
                     const answer = await client.chat.completions.create({{ model: \"{model}\", messages }});\n\
                     console.log(answer.choices[0].message.content);"
                ),
            ),
            Call::Models => ("", "for await (const model of client.models.list()) console.log(model.id);".to_owned()),
        };
        format!(
            "{more}import OpenAI from \"openai\";\n\n\
             const client = new OpenAI({{ baseURL: \"{gateway}/v1\", apiKey: \"{secret}\" }});\n{call}\n"
        )
    }
}

/// Whether a key with these patterns may use this model.
fn allows(patterns: &[String], model: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, model))
}

/// `*` stands for any letters.
fn fits(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    let tails = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    tails.into_iter().any(|at| text.get(at..).is_some_and(|tail| fits(rest, tail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_calls_what_the_key_may_do() {
        assert_eq!(Call::of(&[]), Call::Speech);
        assert_eq!(Call::of(&[Operation::Realtime]), Call::Models);
        let call = Call::of(&[Operation::Chat, Operation::Transcription]);
        let snippet = Snippet {
            gateway: "https://voice.example".to_owned(),
            secret: "sk-ap-x".to_owned(),
            model: "ears".to_owned(),
            call,
        };
        assert!(snippet.curl().starts_with("curl https://voice.example/v1/audio/transcriptions"), "{}", snippet.curl());
        for text in [snippet.python(), snippet.node()] {
            assert!(
                text.contains("\"https://voice.example/v1\"")
                    && text.contains("\"sk-ap-x\"")
                    && text.contains("\"ears\"")
            );
        }
    }

    #[test]
    fn patterns_name_models() {
        for (pattern, model, fit) in [
            ("*", "x", true),
            ("tts-*", "tts-1", true),
            ("tts-*", "stt-1", false),
            ("a*b*c", "a-b-c", true),
            ("a", "ab", false),
        ] {
            assert_eq!(fits(pattern, model), fit, "{pattern} {model}");
        }
    }
}
