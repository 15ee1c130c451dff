// Package protocol holds every wire format of gosper: bytes in, values out. It knows no socket, clock, logger or random
// number, starts nothing and keeps nothing, so servers, clients and tests share it. Everything in it may be called from
// any goroutine; an Assembler belongs to one at a time. Parsers accept any bytes (ParseCommand: any ten), never panic, and
// allocate in proportion to the bytes they were given, never to a number in them. Results alias the input where their documentation says so.
//
// This text is the protocol. Its tables are compared with the constants by a test.
//
// # Lines
//
// A frame of the line door is a command of 10 characters, left-padded with "0", then a payload, then CR LF. The payload
// is UTF-8 without CR or LF; every other character may stand in it. C are frames of clients, S of servers.
//
//	00REGISTER  C  nonce                       first frame; later: become who the new nonce names
//	0000PUBLIC  C  text                        say to the world
//	0000PUBLIC  S  name:text                   said in the world, to the speaker too
//	0000FAMILY  C  text                        say to the family
//	0000FAMILY  S  name:text                   said in the family, to the speaker too
//	000000PING  C  at most 64 bytes            ask for a sign of life
//	000000PONG  S  the bytes of the PING       the sign
//	000000CALL  C  request envelope            call a function
//	00000REPLY  S  reply envelope              its answer
//	000000PUSH  S  push envelope               any message that is not a chat line
//	00000000OK  S  nothing                     registered
//	000000EXIT  C  nothing                     close
//	00000CLOSE  S  code, blank, name           the server closes, and why
//	00000WATCH  C  game/grid [mode]            follow a grid
//	000UNWATCH  C  game/grid                   follow it no more
//	000000EDIT  C  game/grid x,y RLE           place a pattern
//	000000EDIT  S  game/grid seq generation    where the edit stands in the order of edits
//	000000GRID  S  game/grid generation WxH hash RLE   the whole grid
//	00000DELTA  S  game/grid generation hash RLE       the cells that flipped
//
// The flow: the client sends 00REGISTER with a nonce (single use, from the function /chat/token or a trusted service), the server answers
// 00000000OK, and from then on chat, calls and pushes go both ways. Answers to calls come in the order of the calls;
// pushes come in between. Any breach (a frame that is unknown, badly padded, too long or not UTF-8, a first frame that is
// not 00REGISTER, a bad nonce) ends the connection at once and without a word. A registered client that is closed by policy
// gets 00000CLOSE first.
//
//	C 00REGISTER184467440737095516
//	S 00000000OK
//	C 0000PUBLIChello
//	S 0000PUBLICAnna:hello
//	C 000000CALL{"route":"/chat/history","msgId":1,"content":{"limit":1}}
//	S 00000REPLY{"room":"main","route":"/chat/history","msgId":1,"status":0,"message":"OK","content":{…}}
//	C 000000EXIT
//
// The name before the ":" of a chat line has "%", ":", control characters and DEL written as %XX (two capital hex
// digits), so the first ":" ends it; the text behind it is as it was said. A text that holds CR or LF (websocket clients can
// say it) comes as 000000PUSH instead, where JSON keeps it whole. A frame may also travel as one websocket text message
// without its CR LF (subprotocol gosper.line.v1).
//
// The mode of a WATCH is cells (every generation; the default), edits (edits and hashes, the client computes) or view x,y,w,h
// (what lies in a rectangle). A "!" in front of the RLE of an EDIT kills the cells that it names. The answer to an edit that was
// refused has seq 0 and, behind the generation, the reason. A hash is 16 small hex digits; RLE stands on one line (see GridLine).
//
// # Envelopes
//
// Websocket text messages, and the payloads of CALL, REPLY and PUSH, are JSON objects:
//
//	request  {"route":"/user/register","msgId":123,"clientCode":"…","content":{…}}
//	reply    {"room":"main","route":"/user/register","msgId":123,"status":0,"message":"OK","content":{…}}
//	error    {"room":"main","route":"/user/register","msgId":123,"status":1001,"message":"…","content":{"data":…}}
//	push     {"room":"main","route":"/chat/public","status":0,"message":"OK","position":{…},"content":{…}}
//	welcome  {"room":"main","route":"/welcome","status":0,"message":"OK","content":{}}
//
// Of a request only route must be there. msgId is an integer of 64 bits or a string of one, and comes back as it was
// sent, if it was. msg_id and client_code are other spellings of msgId and clientCode; clients of an older dialect put these
// two into the content, where they count if the envelope has none. A member that stands twice makes a request bad (status
// 1000); members of other names are ignored. JSON is read strictly (RFC 8259, UTF-8), nested at most 64 deep.
//
// The content of chat (routes /chat/public and /chat/family) is {"name":…,"text":…,"time":milliseconds since 1970}. Of a
// subject with history, a push carries "position": {"subject":…,"epoch":…,"offset":…}. Offsets of one epoch grow by one. A
// client that comes back names the last position it has of each subject in /session/resume, and learns for each where it is
// now and whether anything is missing ("recovered").
//
// On the bus, between nodes and services, a push is {"route":…,"content":{…}} on one line. Its subject is
// chat.<world>.public, chat.<world>.family.<family>, user.<account>, game.<game> or presence.<world>. Bytes on the bus that are not such
// an object never reach a client.
//
// # Websocket
//
// Frames follow RFC 6455 without extensions: reserved bits are 0, clients mask and servers do not, lengths are in their
// shortest form. Text is checked with each fragment, so a break is answered at the fragment that has it. Binary messages carry
// grid frames: GridHeader, little-endian, then a payload of the grid's own.
//
//	 0  u8   kind        1 snapshot, 2 delta, 3 edits, 4 tick
//	 1  u8   flags       bit 0 owners, bit 1 blended colours
//	 2  u16  grid        index in the game
//	 4  u32  epoch       changes when history was rewound or lost
//	 8  u64  game
//	16  u64  generation  after applying
//	24  u64  hash        of the live cells after applying
//	32  …    payload
//
// # Close codes
//
// Why a connection ended: in the close frame of a websocket, in 00000CLOSE, and as the reason in metrics of every door. The
// third column says whether a client should come back by itself.
//
//	1000  normal            no   the client asked for it, or the work is done
//	1001  going_away        yes  this node drains: go to another one
//	1002  protocol_error    no   a frame broke the protocol
//	1003  unsupported_data  no   a kind of message this endpoint does not take
//	1005  no_status         yes  the peer closed without a code; never on the wire
//	1006  abnormal          yes  the connection was lost without a close; never on the wire
//	1007  bad_data          no   text that is not UTF-8
//	1008  policy            no   refused: not allowed here
//	1009  too_big           no   a frame or message over the limit
//	1011  internal_error    yes  an error of the server; its log has more
//	1012  restart           yes  the server restarts
//	4001  auth_timeout      yes  no valid registration in time
//	4002  auth_failed       no   a nonce or token that is unknown, used or expired
//	4003  replaced          no   a newer login of this account took over
//	4004  logged_out        no   the session ended: log in again
//	4005  slow              yes  the client read too slowly and its queue was full
//	4006  timeout           yes  no sign of life: two pings without an answer
//	4007  rate              yes  too many messages in too short a time
//	4008  limit             yes  the server or this address has as many connections as it may
//	4009  abuse             no   too many bad messages
//	4010  banned            no   the player is banned: the refusal of a login says until when
//
// # Statuses
//
// The outcome of a call, in replies and gate responses. Numbers from 1 to 99 that are not here belong to single
// functions.
//
//	-2    timeout             no answer in time; the work may still be done
//	-1    programming_error   an error of the server or a malformed gate request
//	0     ok                  done
//	10    unknown_function    the gate knows no function of this name
//	11    invalid_token       the token is forged, expired or replaced
//	12    no_token            the function needs a token
//	552   internal            an internal error
//	1000  unknown             unknown route, malformed envelope or an error without a code of its own
//	1001  invalid             a value is not valid
//	1002  missing             a value is missing, or the caller is not logged in
//	1003  too_much            too much data
//	1004  wrong_password      wrong password
//	1005  bad_characters      characters that are not allowed
//	1006  expired             the session is unknown or expired
//	1007  overspend           more than there is to spend
//	1008  underspend          less than must be spent
//	1009  range               a number out of its range
//	1010  refused             no privilege, or over the rate limit
//	1011  not_stored          not enough stored
//	1012  not_produced        not enough produced
//	1013  prerequisite        something must be done first
//	1014  captcha_wrong       wrong captcha; the data hold a new one
//	1015  no_sitters          not allowed to a sitter
//	1016  captcha_needed      a captcha must be solved first
//	1017  vote_pending        a vote has to be taken first
//	1018  voted               already voted
//	1100  no_empire           the empire is not founded yet
//	1101  empire_not_founded  the empire could not be founded
//	1200  game_over           the game is over
//	1300  busy                the server cannot take it now: try again later
//
// # Gate and workers
//
// A gate client sends one line of JSON and gets one; then the gate closes. Jobs go to workers as <id>~<request JSON>, and come
// back to the gate's worker port as <id>~<response JSON> with CR LF. An id is 32 small hex digits.
//
//	request   {"world":"0","function":"login","data":{"token":"…",…}} CR LF
//	response  {"status":0,"message":"…","data":…} CR LF
//	job       0123456789abcdef0123456789abcdef~{"world":"0",…}
//	reply     0123456789abcdef0123456789abcdef~{"status":0,…} CR LF
//
// # Names and limits
//
// Worlds, families and ids are 1 to 32 of A-Z a-z 0-9 _ -. Display names are 1 to 32 printable characters; in a subject each
// of their bytes that a name may not hold stands as %XX.
//
//	CommandSize     10     bytes of a command
//	MaxPing         64     bytes of a PING's payload
//	MaxName         32     bytes of a name
//	MaxDisplayName  32     characters of a display name
//	MaxRoute        128    bytes of a route
//	MaxClientCode   128    bytes of a clientCode
//	MaxFunction     64     bytes of a gate function
//	MaxDepth        64     objects and arrays around a JSON value
//	MaxControl      125    bytes of a control frame's payload
//	MaxCloseReason  123    bytes of a close frame's reason
//	MaxFrameHeader  14     bytes of a frame's header
//	DefaultMessage  65536  bytes of a message, unless the Assembler says otherwise
//	JobIDSize       32     bytes of a job id
//	GridHeaderSize  32     bytes of a grid frame's header
package protocol
