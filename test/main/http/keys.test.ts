import { createHash } from 'node:crypto'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { withServer } from '../../support/http-server.ts'

const keys = suite('main/http/keys')

keys('the keys that signed are listed, the one in use marked', () =>
  withServer(async ({ send }) => {
    const { status, body } = await send('GET', '/v1/keys')
    assert.equal([status, Object.keys(body).join()], [200, 'keys'])
    const [key] = body.keys ?? []
    assert.equal(Object.keys(key ?? {}).join(), 'keyId,algorithm,publicKey,active')
    assert.equal([key?.algorithm, key?.active], ['Ed25519', true])
    assert.match(key?.publicKey ?? '', /^[0-9a-f]{64}$/)
    const digest = createHash('sha256')
      .update(key?.publicKey ?? '', 'hex')
      .digest('hex')
    assert.is(key?.keyId, digest.slice(0, 32))
  }),
)

keys('nothing private is served', () =>
  withServer(async ({ send }) => {
    const { text } = await send('GET', '/v1/keys')
    assert.not.match(text, /PRIVATE|BEGIN|seed|pem/i)
  }),
)

keys.run()
