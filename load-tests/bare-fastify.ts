import type { AddressInfo } from 'node:net'
import fastify from 'fastify'

// The floor of an HTTP request: takes the body, answers a constant, does nothing else. Tells its
// port to the bench, and ends when the bench does.

const app = fastify({ logger: false })
app.removeAllContentTypeParsers()
app.addContentTypeParser(
  'application/octet-stream',
  { parseAs: 'buffer' },
  (_request, body, done) => done(null, body),
)
app.post('/', (_request, reply) => reply.type('application/json').send('{"ok":true}'))

await app.listen({ host: '127.0.0.1', port: 0 })
process.on('disconnect', () => void app.close())
process.send?.((app.server.address() as AddressInfo).port)
