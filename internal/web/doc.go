// Package web is the page on which the daemon shows what it does: migrations under way, history,
// peers, certificates and the findings of checks. It serves HTTP and knows no listener; who may look
// is its caller's to say, for each request.
//
//	GET  /                  the page, and under /assets/ what it is made of
//	GET  /events            server-sent events: what is new, once a second at most
//	GET  /v1/history        as on the control socket, and so /v1/sessions/NAME
//	POST /check             has the checks made again
//	POST /v1/cancel         as on the control socket, with the token: "Authorization: Bearer TOKEN"
//
// # What it costs
//
// A feed makes each message once, for all who watch, and only while somebody does. A watcher has no
// queue: whoever reads slowly is told the newest when it is ready for more, and whoever does not
// read is cut off. So neither many watchers nor slow ones cost more than their connections, and none
// of them can hold up what they look at.
//
// # What a browser is trusted with
//
// Nothing that any other page could make it do. A request must name a host that is this one, so that
// a foreign name that leads here gets nothing; requests of other origins are refused; what is
// changed takes a token, which no browser adds by itself. Names and causes come from guests and
// peers: the page makes text of them and never markup, which its policy enforces.
package web
