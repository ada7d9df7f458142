//! The turns of rustls' state machine: what came goes in, what is to leave comes out.

use std::io;

use rustls::client::UnbufferedClientConnection;
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus};
use rustls::{CommonState, SupportedCipherSuite};

use super::in_place;
use super::intake::Intake;

/// Room for what a record adds to its content, more than any suite needs: head, nonce, type and tag.
const OVERHEAD: usize = 64;
/// The content of a record at most (RFC 8446, section 5.1).
const RECORD: usize = 16 * 1024;

/// Where TLS has come to.
pub(super) enum Step {
    /// There is content more, at least a byte.
    Content,
    /// The handshake needs more from the bank.
    Blocked,
    /// All that came was worked on, and content may be sent.
    Open,
    /// The bank has said that it sends nothing more.
    Closed,
}

/// What is to be said to the bank.
#[derive(Clone, Copy)]
pub(super) enum Word<'a> {
    /// Content.
    Content(&'a [u8]),
    /// That nothing more will be sent (RFC 8446, section 6.1).
    End,
}

impl Word<'_> {
    /// As much as its records may need.
    fn room(self) -> usize {
        match self {
            Self::Content(content) => content.len() + (content.len() / RECORD + 1) * OVERHEAD,
            Self::End => OVERHEAD,
        }
    }

    /// How many records of content it makes.
    fn records(self) -> u64 {
        match self {
            Self::Content(content) => content.len().div_ceil(RECORD) as u64,
            Self::End => 0,
        }
    }
}

/// rustls' connection. After an error it does nothing more.
pub(super) struct Turns {
    session: UnbufferedClientConnection,
    failed: Option<rustls::Error>,
    /// Whether the bank has said that it sends nothing more.
    is_closed: bool,
    /// Whether the bank has said anything but alerts since the handshake.
    has_spoken: bool,
    /// Records of content that were encrypted.
    records: u64,
}

impl Turns {
    pub(super) fn new(session: UnbufferedClientConnection) -> Self {
        Self { session, failed: None, is_closed: false, has_spoken: false, records: 0 }
    }

    pub(super) fn session(&self) -> &CommonState {
        &self.session
    }

    /// Whether the bank has said anything but alerts since the handshake. A bank that demands certificates has taken ours
    /// by then: it sends no session ticket before (RFC 8446, section 4.6.1).
    pub(super) fn has_spoken(&self) -> bool {
        self.has_spoken
    }

    /// Whether half of the records that its keys may protect have left, where keys cannot be changed: under TLS 1.2 it
    /// could send nothing more after the last of them (RFC 9325, section 4.4). 2^24 they are with AES-GCM.
    pub(super) fn is_worn(&self) -> bool {
        match self.session.negotiated_cipher_suite() {
            Some(SupportedCipherSuite::Tls12(suite)) => self.records > suite.common.confidentiality_limit / 2,
            _ => false,
        }
    }

    /// Works on what has come, until there is content more, or nothing to do. What TLS has to say goes to `sealed`. An
    /// error is that of every later call, too.
    pub(super) fn take(&mut self, intake: &mut Intake, sealed: &mut Vec<u8>) -> io::Result<Step> {
        self.check()?;
        self.try_take(intake, sealed).map_err(|error| {
            self.failed = Some(error.clone());
            self.encode_alert(intake, sealed);
            invalid(error)
        })
    }

    fn try_take(&mut self, intake: &mut Intake, sealed: &mut Vec<u8>) -> Result<Step, rustls::Error> {
        if self.is_closed {
            return Ok(Step::Closed);
        }
        loop {
            in_place::forget();
            // What ends the handshake is worked on alone: we have something to say to it.
            let is_open = !self.session.is_handshaking();
            let UnbufferedStatus { discard, state } = self.session.process_tls_records(intake.ciphertext());
            self.has_spoken |= is_open && in_place::has_spoken();
            let step = match state {
                Ok(ConnectionState::ReadTraffic(mut records)) => {
                    // One at a time: the place of one is known.
                    let is_one = records.next_record().is_some() && records.next_record().is_none();
                    let place = is_one.then(|| in_place::place_in(intake.ciphertext())).flatten();
                    let place = place.filter(|place| place.end <= discard);
                    intake.decrypted(place.ok_or_else(|| unexpected("the place of its content is not known"))?);
                    Some(Step::Content)
                }
                Ok(ConnectionState::EncodeTlsData(mut message)) => {
                    encode(&mut message, sealed)?;
                    None
                }
                Ok(ConnectionState::TransmitTlsData(sent)) => {
                    // It will be: what is sealed leaves in order.
                    sent.done();
                    None
                }
                Ok(ConnectionState::BlockedHandshake) => Some(Step::Blocked),
                Ok(ConnectionState::WriteTraffic(_)) => Some(Step::Open),
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => {
                    self.is_closed = true;
                    Some(Step::Closed)
                }
                Ok(_) => return Err(unexpected("it is in a state that clients do not come to")),
                Err(error) => {
                    intake.discard(discard);
                    return Err(error);
                }
            };
            intake.discard(discard);
            if let Some(step) = step {
                return Ok(step);
            }
        }
    }

    /// Encrypts what is to be said, all or nothing. All that has come must have been worked on.
    pub(super) fn seal(&mut self, intake: &mut Intake, sealed: &mut Vec<u8>, word: Word<'_>) -> io::Result<()> {
        self.check()?;
        let UnbufferedStatus { discard, state } = self.session.process_tls_records(intake.ciphertext());
        let Ok(ConnectionState::WriteTraffic(mut traffic)) = state else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let encrypt = |out: &mut [u8]| match word {
            Word::Content(content) => traffic.encrypt(content, out),
            Word::End => traffic.queue_close_notify(out),
        };
        let outcome = append(sealed, word.room(), encrypt, |error| match error {
            EncryptError::InsufficientSize(error) => Some(error.required_size),
            EncryptError::EncryptExhausted => None,
        });
        intake.discard(discard);
        self.records += word.records();
        // Nothing of TLS's own may leave in its place, or it would seem that some of it had.
        self.failed = outcome.as_ref().err().cloned();
        outcome.map_err(invalid)
    }

    fn check(&self) -> io::Result<()> {
        self.failed.clone().map_or(Ok(()), |error| Err(invalid(error)))
    }

    /// What the bank is to be told of an error, if anything, behind what it was to be told before.
    fn encode_alert(&mut self, intake: &mut Intake, sealed: &mut Vec<u8>) {
        // Nothing else may be worked on after an error.
        while self.session.wants_write() {
            let Ok(ConnectionState::EncodeTlsData(mut message)) =
                self.session.process_tls_records(intake.ciphertext()).state
            else {
                return;
            };
            // The error counts, not that nobody could be told.
            let _ = encode(&mut message, sealed);
        }
    }
}

fn encode<Data>(message: &mut EncodeTlsData<'_, Data>, sealed: &mut Vec<u8>) -> Result<(), rustls::Error> {
    append(
        sealed,
        0,
        |out| message.encode(out),
        |error| match error {
            EncodeError::InsufficientSize(error) => Some(error.required_size),
            EncodeError::AlreadyEncoded => None,
        },
    )
}

/// Has something written behind what is sealed, with so much room, or as much as an error says that it `needs`.
fn append<E>(
    sealed: &mut Vec<u8>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, E>,
    needs: impl Fn(E) -> Option<usize>,
) -> Result<(), rustls::Error> {
    let end = sealed.len();
    loop {
        sealed.resize(end + room, 0);
        match write(&mut sealed[end..]).map_err(&needs) {
            Ok(bytes) => {
                sealed.truncate(end + bytes);
                return Ok(());
            }
            Err(Some(needed)) if needed > room => room = needed,
            Err(_) => {
                sealed.truncate(end);
                return Err(rustls::Error::EncryptError);
            }
        }
    }
}

/// What cannot be, as rustls is.
fn unexpected(what: &str) -> rustls::Error {
    rustls::Error::General(format!("TLS is not as it should be: {what}"))
}

fn invalid(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
