'use strict'
/*
 * Sessions of Express (express-session) in Sessile, for Node 18 or newer.
 *
 *     const session = require('express-session')
 *     const SessileStore = require('./sessile-express')(session)
 *     app.use(session({
 *       store: new SessileStore({ url: 'http://127.0.0.1:8081/sessions/v1/' }), secret, resave: false, saveUninitialized: false
 *     }))
 *
 * Also: prefix ('express:'), token, timeout (3000 ms), and ttl (86400 s) for cookies that end with the browser.
 * As in all stores of express-session, the last of several requests at once decides what is stored; none brings back a
 * session that was ended meanwhile. When the store does not answer, the request gets the error; a session is new only if
 * the store said that there is none. express-session saves while it ends the response, which may be sent in spite of an
 * error: where it must not, call req.session.save(callback) first.
 */

// A connection that was kept may have been closed by the store meanwhile: then once more. All that is asked may be repeated.
const CLOSED = ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE']

module.exports = ({ Store }) => class SessileStore extends Store {
  #options
  #stored = new WeakSet() // what came from the store or is in it by now

  constructor (options) {
    super()
    this.#options = { url: 'http://127.0.0.1:8081/sessions/v1/', prefix: 'express:', timeout: 3000, ttl: 86400, ...options }
  }

  get (id, done) {
    this.#then(done, async () => {
      const [status, value] = await this.#ask('GET', id, [200, 404])
      if (status === 404) return null
      const session = JSON.parse(value)
      this.#stored.add(session)
      return session
    })
  }

  createSession (request, data) {
    const session = super.createSession(request, data)
    if (this.#stored.has(data)) this.#stored.add(session)
    return session
  }

  set (id, session, done) {
    const ttl = this.#secondsLeft(session)
    if (ttl <= 0) return this.destroy(id, done)
    this.#then(done, async () => {
      const headers = { TTL: ttl, ...(this.#stored.has(session) && { 'If-Match': '*' }) }
      const [status] = await this.#ask('POST', id, [201, 412], headers, JSON.stringify(session))
      if (status === 412) throw new Error('Sessile: another request has ended this session')
      this.#stored.add(session)
    })
  }

  touch (id, session, done) { // if it was ended meanwhile, there is nothing to lose
    this.#then(done, () => this.#ask('PATCH', id, [204, 404], { TTL: Math.max(1, this.#secondsLeft(session)) }))
  }

  destroy (id, done) { this.#then(done, () => this.#ask('DELETE', id, [204])) }

  #secondsLeft ({ cookie }) {
    return cookie.expires ? Math.ceil((new Date(cookie.expires) - Date.now()) / 1000) : this.#options.ttl
  }

  // Outside of the promise, so that an exception of the callback is not taken for one of ours.
  #then (done = () => {}, step) {
    step().then(value => process.nextTick(done, null, value), error => process.nextTick(done, error))
  }

  // Errors name no key: those are credentials. Nor have they a code: for express-session, ENOENT means "no session".
  async #ask (method, id, expected, headers = {}, body = undefined, again = true) {
    const { url, prefix, token, timeout } = this.#options
    headers = { ...headers, 'Content-Type': 'application/octet-stream', ...(token && { Authorization: `Bearer ${token}` }) }
    let status, value
    try {
      const options = { method, headers, body, signal: AbortSignal.timeout(timeout) }
      const answer = await fetch(url + encodeURIComponent(prefix + id), options)
      status = answer.status
      value = await answer.text()
    } catch (error) {
      const reason = error.cause?.code ?? error.name
      if (again && CLOSED.includes(reason)) return this.#ask(method, id, expected, headers, body, false)
      throw new Error(`Sessile did not answer a ${method}: ${reason}`)
    }
    if (!expected.includes(status)) throw new Error(`Sessile answered ${status} to a ${method}`)
    return [status, value]
  }
}
