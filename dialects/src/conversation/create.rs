//! The conversation as the client writes it: items that are created, read, deleted and truncated.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::abilities::Ability;
use super::agent::Order;
use super::input::Job;
use super::items::{Body, Item};
use super::link::Stage;
use super::session::ConversationSession;
use super::setup::{Message, Role};
use crate::live::events::{Refusal, missing};
use crate::translation::Effect;

/// The texts that may wait for a response.
const MAX_TEXTS: usize = 1_000;
const MAX_TEXT_BYTES: usize = 1024 * 1024;
const MAX_ID_BYTES: usize = 512;

/// A text that the agent does not have yet.
#[derive(Debug)]
struct Written {
    item: String,
    message: Message,
}

/// The texts that the agent does not have yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct Texts {
    waiting: VecDeque<Written>,
    bytes: usize,
}

impl Texts {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn push(&mut self, item: &str, message: Message) {
        self.bytes += message.text.len();
        self.waiting.push_back(Written { item: item.to_owned(), message });
    }

    fn pop(&mut self) -> Option<Message> {
        let written = self.waiting.pop_front()?;
        self.bytes = self.bytes.saturating_sub(written.message.text.len());
        Some(written.message)
    }

    /// What was said before the agent is there: all but the words that are still to be answered.
    pub(super) fn take_history(&mut self) -> Vec<Message> {
        let said = self.waiting.iter().rposition(|written| written.message.role == Role::Assistant);
        let said = said.map_or(0, |at| at + 1);
        let told = self.waiting.iter().skip(said).take_while(|written| written.message.role != Role::User).count();
        (0..said + told).filter_map(|_| self.pop()).collect()
    }

    fn remove(&mut self, item: &str) -> bool {
        let Some(at) = self.waiting.iter().position(|written| written.item == item) else { return false };
        if let Some(written) = self.waiting.remove(at) {
            self.bytes = self.bytes.saturating_sub(written.message.text.len());
        }
        true
    }
}

/// What an item that a client creates means for the agent.
enum Meaning {
    Text(Message),
    Audio(Vec<u8>),
    Output { call_id: String, output: String },
}

impl ConversationSession {
    /// The client adds an item.
    pub(super) fn create_item(
        &mut self,
        item: &Map<String, Value>,
        previous: Option<&str>,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let (body, meaning) = self.read_item(item)?;
        let id = self.item_id(item)?;
        let place = self.read_place(previous)?;
        match meaning {
            Meaning::Text(message) => {
                let full =
                    self.texts.waiting.len() >= MAX_TEXTS || self.texts.bytes + message.text.len() > MAX_TEXT_BYTES;
                if full {
                    let message = "Too many messages wait for a 'response.create'.";
                    return Err(Refusal::value("item", message));
                }
                self.texts.push(&id, message);
            }
            Meaning::Audio(audio) => {
                self.open(effects);
                if self.link.stage == Stage::Ended {
                    return Ok(());
                }
                self.append(audio)?;
                self.release_committed();
                self.input.itemed_ticks = self.input.appended_ticks;
            }
            Meaning::Output { call_id, output } => {
                if let Some(name) = self.tools.answer(&call_id) {
                    self.tools.given.push(Job::Tool { call_id, name, output });
                    self.pass_on_outputs();
                }
            }
        }
        self.put_item(place, Item::new(id, body), effects);
        Ok(())
    }

    /// Adds an item at the end.
    pub(super) fn add_item(&mut self, item: Item, effects: &mut Vec<Effect>) {
        self.put_item(None, item, effects);
    }

    fn put_item(&mut self, place: Option<Option<&str>>, item: Item, effects: &mut Vec<Effect>) {
        let shown = item.shown();
        let previous = match place {
            None => self.items.push(item),
            Some(after) => self.items.insert(after, item),
        };
        for kind in ["conversation.item.added", "conversation.item.done"] {
            self.writer.event(kind, json!({"previous_item_id": previous, "item": shown}), effects);
        }
    }

    /// An id for a new item, which the client has given to none of its own.
    pub(super) fn new_item_id(&mut self) -> String {
        loop {
            let id = self.writer.id("item");
            if self.items.get(&id).is_none() {
                return id;
            }
        }
    }

    /// The client's id, or a new one.
    fn item_id(&mut self, item: &Map<String, Value>) -> Result<String, Refusal> {
        match item.get("id") {
            None | Some(Value::Null) => Ok(self.new_item_id()),
            Some(Value::String(id)) if !id.is_empty() && id.len() <= MAX_ID_BYTES => {
                if self.items.get(id).is_some() {
                    let message = format!("Error adding item: an item with the id '{id}' already exists.");
                    return Err(Refusal::new("item_create_duplicate_id", message, Some("item.id")));
                }
                Ok(id.clone())
            }
            Some(_) => Err(Refusal::value("item.id", "'item.id' must be a text of at most 512 bytes.")),
        }
    }

    /// Where the item goes: `None` for the end, `Some(None)` for the beginning.
    fn read_place<'a>(&self, previous: Option<&'a str>) -> Result<Option<Option<&'a str>>, Refusal> {
        const FIELD: &str = "previous_item_id";
        let place = match previous {
            None => return Ok(None),
            Some(id) if self.items.last() == Some(id) => return Ok(None),
            Some("root") if self.items.last().is_none() => return Ok(None),
            Some("root") => None,
            Some(id) if self.items.get(id).is_some() => Some(id),
            Some(id) => {
                let id: String = id.chars().take(64).collect();
                let message = format!("Error adding item: the previous item with the id '{id}' does not exist.");
                return Err(Refusal::new("item_create_invalid_previous_item_id", message, Some(FIELD)));
            }
        };
        Ok(if self.gate().lets(Ability::InsertItem, FIELD)? { Some(place) } else { None })
    }

    fn read_item(&self, item: &Map<String, Value>) -> Result<(Body, Meaning), Refusal> {
        let gate = self.gate();
        match item.get("type").and_then(Value::as_str) {
            Some("message") => self.read_message(item),
            Some("function_call_output") => {
                let call_id = text_of(item, "call_id", "item.call_id")?.to_owned();
                let output = text_of(item, "output", "item.output")?.to_owned();
                if output.len() > MAX_TEXT_BYTES {
                    return Err(Refusal::value("item.output", "The output of a function has at most 1 MiB."));
                }
                if !self.tools.knows(&call_id) {
                    let call: String = call_id.chars().take(64).collect();
                    let message = format!("No function call with the call_id '{call}' waits for its output.");
                    return Err(Refusal::value("item.call_id", message));
                }
                gate.lets(Ability::ToolOutput, "item.type")?;
                let body = Body::Output { call_id: call_id.clone(), output: output.clone() };
                Ok((body, Meaning::Output { call_id, output }))
            }
            Some("function_call") => Err(gate.refusal("item.type", "only the agent calls functions")),
            Some("mcp_approval_response" | "mcp_approval_request" | "mcp_call" | "mcp_list_tools") => {
                gate.lets(Ability::McpTools, "item.type")?;
                Err(gate.refusal("item.type", "no tool asks for approval"))
            }
            Some(_) => Err(Refusal::value("item.type", "An item is a 'message' or a 'function_call_output'.")),
            None => Err(missing("item.type")),
        }
    }

    fn read_message(&self, item: &Map<String, Value>) -> Result<(Body, Meaning), Refusal> {
        let role = match text_of(item, "role", "item.role")? {
            "user" => Role::User,
            "system" => Role::System,
            "assistant" => Role::Assistant,
            _ => return Err(Refusal::value("item.role", "A role is 'user', 'assistant' or 'system'.")),
        };
        let Some(Value::Array(parts)) = item.get("content") else { return Err(missing("item.content")) };
        if let [part] = parts.as_slice()
            && part.get("type").and_then(Value::as_str) == Some("input_audio")
        {
            return self.read_user_audio(role, part);
        }
        let mut texts = Vec::new();
        for part in parts {
            let kind = part.get("type").and_then(Value::as_str).ok_or_else(|| missing("item.content.type"))?;
            let field = match (role, kind) {
                (Role::User | Role::System, "input_text") | (Role::Assistant, "output_text" | "text") => "text",
                (Role::Assistant, "output_audio" | "audio") => "transcript",
                (Role::User, "input_image") => {
                    self.gate().lets(Ability::UserImage, "item.content")?;
                    return Err(self.gate().refusal("item.content", "images are not passed on"));
                }
                _ => {
                    let message = "Content is 'input_text' of the user and the system, 'input_audio' of the user \
                                   alone, and 'output_text' of the assistant.";
                    return Err(Refusal::value("item.content", message));
                }
            };
            let text = part.get(field).and_then(Value::as_str);
            texts.push(text.ok_or_else(|| missing("item.content.text"))?.to_owned());
        }
        let ability = match role {
            Role::User => Ability::UserText,
            Role::System => Ability::SystemText,
            Role::Assistant => Ability::AssistantText,
        };
        self.gate().lets(ability, "item.role")?;
        let message = Message { role, text: texts.join("\n") };
        Ok((Body::Text { role, texts }, Meaning::Text(message)))
    }

    fn read_user_audio(&self, role: Role, part: &Value) -> Result<(Body, Meaning), Refusal> {
        if role != Role::User {
            return Err(Refusal::value("item.content", "Only a user's message has 'input_audio'."));
        }
        let gate = self.gate();
        gate.lets(Ability::UserAudio, "item.content")?;
        if self.settings.turns.is_some() {
            return Err(gate.refusal("item.content", "audio is appended where the provider finds the turns"));
        }
        let audio = part.get("audio").and_then(Value::as_str).ok_or_else(|| missing("item.content.audio"))?;
        let transcript = part.get("transcript").and_then(Value::as_str).map(ToOwned::to_owned);
        Ok((Body::Heard { transcript }, Meaning::Audio(super::client::decode(audio)?)))
    }

    /// Passes the texts that wait on to the agent, in their order.
    pub(super) fn release_texts(&mut self) {
        while let Some(Message { role, text }) = self.texts.pop() {
            self.input.push(Job::Say { role, text });
        }
    }

    /// The client reads an item.
    pub(super) fn retrieve_item(&mut self, id: &str, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        let Some(item) = self.items.get(id) else {
            return Err(unknown_item("retrieving", "item_retrieve_invalid_item_id", id));
        };
        let shown = item.shown();
        self.writer.event("conversation.item.retrieved", json!({"item": shown}), effects);
        Ok(())
    }

    /// The client takes an item out of the conversation.
    pub(super) fn delete_item(&mut self, id: &str, effects: &mut Vec<Effect>) -> Result<(), Refusal> {
        if self.items.get(id).is_none() {
            return Err(unknown_item("deleting", "item_delete_invalid_item_id", id));
        }
        // A text that the agent does not have is really forgotten.
        if !self.texts.remove(id) {
            self.gate().lets(Ability::DeleteItem, "item_id")?;
        }
        self.items.remove(id);
        self.writer.event("conversation.item.deleted", json!({"item_id": id}), effects);
        Ok(())
    }

    /// The client says how much of a message was heard.
    pub(super) fn truncate_item(
        &mut self,
        id: &str,
        content_index: u64,
        audio_end_ms: u64,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let Some(item) = self.items.get(id) else {
            return Err(unknown_item("truncating", "item_truncate_invalid_item_id", id));
        };
        let Body::Spoken { ms, .. } = &item.body else {
            let message = "Only model output audio messages can be truncated";
            return Err(Refusal::new("unsupported_content_type", message, Some("item_id")));
        };
        if content_index != 0 {
            return Err(Refusal::value("content_index", "The message has one part, with the index 0."));
        }
        let ms = self.spoken_ms(id).unwrap_or(*ms);
        if audio_end_ms > ms {
            let message = format!("Audio content of {ms}ms is already shorter than {audio_end_ms}ms");
            return Err(Refusal::value("audio_end_ms", message));
        }
        let told = self.gate().lets(Ability::Truncate, "conversation.item.truncate")?;
        if told && self.link.live() && self.items.is_last_spoken(id) {
            self.order(Order::Truncate { heard_ms: audio_end_ms }, effects)?;
        }
        // What was not heard has no transcript that could be told apart.
        self.items.change(id, |item| {
            if audio_end_ms < ms {
                item.body = Body::Spoken { transcript: String::new(), ms: audio_end_ms };
            }
        });
        let truncated = json!({"item_id": id, "content_index": content_index, "audio_end_ms": audio_end_ms});
        self.writer.event("conversation.item.truncated", truncated, effects);
        Ok(())
    }
}

fn unknown_item(doing: &str, code: &'static str, id: &str) -> Refusal {
    let id: String = id.chars().take(64).collect();
    let message = format!("Error {doing} item: the item with the id '{id}' does not exist.");
    Refusal::new(code, message, Some("item_id"))
}

fn text_of<'a>(item: &'a Map<String, Value>, name: &str, field: &'static str) -> Result<&'a str, Refusal> {
    match item.get(name) {
        Some(Value::String(text)) => Ok(text),
        None | Some(Value::Null) => Err(missing(field)),
        Some(_) => Err(Refusal::value(field, format!("'{field}' must be a text."))),
    }
}
