import { once } from 'node:events'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { Argument, Command } from 'commander'
import { HEADER_COPY_PATH, HEADER_PATH } from '../../shared/format/paths.ts'
import type { KeysMessage, KeysRequest } from '../../shared/protocol/keys.ts'
import type { PublicKey } from '../../shared/protocol/streams.ts'
import { DirectoryConfig } from '../config.ts'
import { DirectoryLock } from '../directory-lock.ts'
import { fileExists } from '../files.ts'
import { type CommandContext, CommandFailure, write } from './context.ts'
import { addConfigFlags, helpAfter, readDirectoryConfig } from './options.ts'

type Keys = Extract<KeysMessage, { kind: 'keys' }>

const HELP = `
Checkpoints are signed with the private key in keys/signing.pem of the data directory, which is made
at the first start, or with one that "varve serve" was given. Every public key that ever signed
stays in keys/, so that what it signed can be verified.

"rotate" makes a new private key, with which the next start signs; the old one is gone then. It
needs the data directory for itself: stop the server first.
`

type KeysFlags = { readonly json?: true }

export function keysCommand(context: CommandContext): Command {
  const command = new Command('keys')
    .summary('list or rotate the keys that sign checkpoints, offline')
    .description('Lists the public keys of a data directory, or replaces its private key.')
    .addArgument(new Argument('[action]', 'what to do').choices(['list', 'rotate']).default('list'))
    .option('--json', 'print one JSON object')
  return addConfigFlags(command, DirectoryConfig)
    .addHelpText(
      'after',
      helpAfter(HELP, ['varve keys --data ./data', 'varve keys rotate --data ./data']),
    )
    .action(async (action: KeysRequest['kind'], { json }: KeysFlags) => {
      const { data } = readDirectoryConfig(command, context)
      const found = await (action === 'rotate' ? rotate(data) : ask({ kind: action, data }))
      await write(context.stdout, json === true ? keysJson(found) : keysText(found))
      failOnDamage(found)
    })
}

async function rotate(data: string): Promise<Keys> {
  // The lock would make the directory.
  if (![HEADER_PATH, HEADER_COPY_PATH].some(path => fileExists(join(data, path)))) {
    throw new CommandFailure(`${data} is no data directory: it has no ${HEADER_PATH}`)
  }
  const lock = DirectoryLock.take(data)
  try {
    return await ask({ kind: 'rotate', data })
  } finally {
    lock.release()
  }
}

async function ask(request: KeysRequest): Promise<Keys> {
  const thread = new Worker(new URL('../../workers/keys.js', import.meta.url), {
    workerData: request,
  })
  const [message] = (await once(thread, 'message')) as [KeysMessage]
  if (message.kind === 'failed') throw new CommandFailure(message.reason)
  return message
}

function keysJson({ keys, damaged, replaced }: Keys): string {
  return `${JSON.stringify({ keys, damaged, replaced: replaced ?? null })}\n`
}

function keysText({ keys, replaced }: Keys): string {
  const lines = keys.map(describeKey)
  if (lines.length === 0) lines.push('no keys: the first start makes one')
  if (replaced !== undefined) lines.push(`${replaced} signs no more`)
  return `${lines.join('\n')}\n`
}

function describeKey({ keyId, algorithm, publicKey, active }: PublicKey): string {
  return `${keyId} ${algorithm} ${publicKey}${active ? ' in use' : ''}`
}

function failOnDamage({ damaged }: Keys): void {
  if (damaged.length === 0) return
  throw new CommandFailure(
    damaged.map(file => `${file} does not hold the key that its name says`).join('\n'),
  )
}
