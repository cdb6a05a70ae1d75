'use strict'
// The application of the story, on express-session.
const { existsSync, writeFileSync } = require('node:fs')
const { setTimeout: sleep } = require('node:timers/promises')
const express = require('express')
const session = require('express-session')
const SessileStore = require(`${process.env.CLIENTS}/sessile-express`)(session)

const { STORE, TOKEN, LIFETIME, RUN } = process.env
const app = express()
app.use(session({
  store: new SessileStore({ url: STORE, token: TOKEN }),
  secret: 'of a test',
  cookie: { maxAge: 1000 * LIFETIME },
  resave: false,
  saveUninitialized: false
}))

const answer = ({ session }, response) => response.send(`${session?.user ?? 'nobody'} ${session?.visits ?? 0}`)

app.get('/me', answer)

app.get('/visit', (request, response) => {
  request.session.visits = (request.session.visits ?? 0) + 1
  answer(request, response)
})

app.get('/login', (request, response, next) => {
  const { visits } = request.session
  request.session.regenerate(error => {
    if (error) return next(error)
    Object.assign(request.session, { user: 'Ada', visits })
    answer(request, response)
  })
})

app.get('/logout', (request, response, next) => {
  request.session.destroy(error => error ? next(error) : answer(request, response))
})

app.get('/hold', async (request, response, next) => {
  const visits = request.session.visits ?? 0
  writeFileSync(`${RUN}/held`, '')
  for (const end = Date.now() + 20_000; !existsSync(`${RUN}/go`) && Date.now() < end;) await sleep(10)
  request.session.visits = visits + 1
  request.session.save(error => error ? next(error) : answer(request, response))
})

const server = app.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`))
