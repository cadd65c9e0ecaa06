//! E-mail, to a server that speaks just enough SMTP.

use admin::alerts::Alerts;
use admin::settings::{SmtpSettings, SmtpTls};
use http::Method;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::fixtures::{NOON, breaker, look, make};
use crate::helpers::TestApp;

/// What a client said, up to and with the message.
struct Mailbox {
    port: u16,
    said: mpsc::UnboundedReceiver<Vec<String>>,
}

impl Mailbox {
    /// Takes what is sent to anybody but `nobody@example.com`.
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, said) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let sender = sender.clone();
                tokio::spawn(async move { drop(sender.send(converse(socket).await)) });
            }
        });
        Self { port, said }
    }

    fn settings(&self) -> SmtpSettings {
        SmtpSettings {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            username: Some("antiphon".to_owned()),
            password: Some("hunter2".to_owned().into()),
            from: "Antiphon <alerts@example.com>".to_owned(),
            tls: SmtpTls::None,
        }
    }
}

async fn converse(socket: TcpStream) -> Vec<String> {
    let mut socket = BufReader::new(socket);
    let mut said = Vec::new();
    socket.write_all(b"220 mail.example.com ESMTP\r\n").await.unwrap();
    let mut in_message = false;
    loop {
        let mut line = String::new();
        if socket.read_line(&mut line).await.unwrap_or_default() == 0 {
            return said;
        }
        let line = line.trim_end_matches(['\r', '\n']).to_owned();
        let answer = match line.split([' ', ':']).next().unwrap_or_default() {
            _ if in_message && line == "." => {
                in_message = false;
                "250 taken\r\n"
            }
            _ if in_message => "",
            "EHLO" => "250-mail.example.com\r\n250 AUTH PLAIN\r\n",
            "AUTH" => "235 hello\r\n",
            "RCPT" if line.contains("nobody@") => "550 there is nobody of this name\r\n",
            "DATA" => {
                in_message = true;
                "354 go on\r\n"
            }
            "QUIT" => "221 goodbye\r\n",
            _ => "250 ok\r\n",
        };
        said.push(line);
        socket.write_all(answer.as_bytes()).await.unwrap();
        if answer.starts_with("221") {
            return said;
        }
    }
}

#[actix_web::test]
async fn people_are_told_by_mail_in_plain_text_without_headers_of_others() {
    let mut mailbox = Mailbox::start().await;
    let settings = mailbox.settings();
    let app = TestApp::on_sqlite_with(|admin| admin.smtp = Some(settings)).await;
    let platform = app.platform().await;
    let body = json!({ "name": "mail", "settings": { "kind": "email", "to": ["ops@example.com", "cto@example.com"] } });
    let channel = make(&app, "/api/v1/alerts/channels", &platform, body).await;
    let condition = json!({ "kind": "breaker", "open_seconds": 0 });
    let body =
        json!({ "name": "Über-Ziele", "condition": condition, "severity": "critical", "channel_ids": [channel] });
    make(&app, "/api/v1/alerts/rules", &platform, body).await;
    // Names from elsewhere may hold what no name should.
    breaker(&app, None, "evil\r\nBcc: victim@example.com\r\n\r\n.\r\nQUIT\r\n", "open").await;
    look(&app, NOON).await;

    let alerts = Alerts::new(app.database.clone(), app.secrets.sealing.clone(), Some(&mailbox.settings())).unwrap();
    alerts.deliver(|| NOON).await.unwrap();
    let list = app.get("/api/v1/alerts/deliveries", &platform).await.json();
    assert_eq!(list["data"][0]["status"], "delivered", "{list}");
    drop(alerts);
    let said = mailbox.said.recv().await.unwrap();
    let has = |line: &str| said.iter().any(|said| said == line);
    assert!(has("MAIL FROM:<alerts@example.com>") && has("RCPT TO:<ops@example.com>"), "{said:?}");
    assert!(has("RCPT TO:<cto@example.com>") && !said.iter().any(|line| line.contains("TO:<victim")), "{said:?}");
    assert!(!said.iter().any(|line| line.starts_with("Bcc") || line == "Since: never"), "{said:?}");
    assert!(said.iter().any(|line| line.starts_with("Subject: ") && line.contains("=?utf-8?b?")), "{said:?}");
    assert!(said.iter().any(|line| line.starts_with("Content-Type: text/plain")), "{said:?}");
    let id = list["data"][0]["id"].as_str().unwrap();
    assert!(has(&format!("Message-ID: <{id}@example.com>")), "{said:?}");
    app.stop().await;
}

#[actix_web::test]
async fn what_the_mail_server_refuses_is_told_to_whoever_tries_the_channel() {
    let mailbox = Mailbox::start().await;
    let settings = mailbox.settings();
    let app = TestApp::on_sqlite_with(|admin| admin.smtp = Some(settings)).await;
    let platform = app.platform().await;
    let body = json!({ "name": "mail", "settings": { "kind": "email", "to": ["nobody@example.com"] } });
    let channel = make(&app, "/api/v1/alerts/channels", &platform, body).await;
    let tried = app.send(Method::POST, &format!("/api/v1/alerts/channels/{channel}/test"), &platform, &[], None).await;
    assert_eq!((tried.status, &tried.json()["delivered"]), (200, &json!(false)), "{tried:?}");
    let error = tried.json()["error"].as_str().unwrap().to_owned();
    assert!(error.contains("there is nobody of this name") && !error.contains("hunter2"), "{error}");
    app.stop().await;
}
