import { spawnSync } from 'node:child_process'
import { readFileSync, statfsSync } from 'node:fs'
import { arch, cpus, loadavg, release, totalmem, type } from 'node:os'
import { isAbsolute, relative } from 'node:path'
import { REDIS_SERVER } from '../contenders/redis.ts'

const TMPFS_MAGIC = 0x01021994
const GIB = 1024 ** 3

type FileSystem = {
  readonly type: string
  readonly device: string
  readonly options: string
  /** Nothing is ever written to a disk here: durable rows mean nothing. */
  readonly isMemory: boolean
}

export type Machine = {
  readonly system: string
  readonly processor: string
  readonly cores: number
  readonly memoryGib: number
  /** One, five and fifteen minutes, before anything was measured. */
  readonly loadAverage: readonly number[]
  readonly node: string
  readonly fastify: string
  /** Undefined when it is not on the PATH. */
  readonly redis: string | undefined
  readonly varve: string
  readonly fileSystem: FileSystem
}

/** `directory` is where the contenders write. */
export function describeMachine(root: string, directory: string): Machine {
  const [first] = cpus()
  return {
    system: `${type()} ${release()} ${arch()}`,
    processor: first?.model ?? 'unknown',
    cores: cpus().length,
    memoryGib: Math.round((totalmem() / GIB) * 10) / 10,
    loadAverage: loadavg().map(load => Math.round(load * 100) / 100),
    node: process.version,
    fastify: versionOf(`${root}/node_modules/fastify/package.json`),
    redis: redisVersion(),
    varve: versionOf(`${root}/package.json`),
    fileSystem: describeFileSystem(directory),
  }
}

function versionOf(path: string): string {
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version
}

function redisVersion(): string | undefined {
  const { stdout } = spawnSync(REDIS_SERVER, ['--version'], { encoding: 'utf8' })
  return /v=(\S+)/.exec(stdout ?? '')?.[1]
}

function describeFileSystem(directory: string): FileSystem {
  const isMemory = statfsSync(directory).type === TMPFS_MAGIC
  const mount = findMount(directory)
  if (mount === undefined) return { type: 'unknown', device: 'unknown', options: '', isMemory }
  return { ...mount, isMemory }
}

/** The deepest mount above `directory`, where the system tells; of equals the last one counts. */
function findMount(directory: string): Omit<FileSystem, 'isMemory'> | undefined {
  let found: { point: string; type: string; device: string; options: string } | undefined
  for (const line of readMounts()) {
    const [device, point, type, options] = line.split(' ')
    if (device === undefined || point === undefined) continue
    if (type === undefined || options === undefined || !isInside(point, directory)) continue
    if (found === undefined || point.length >= found.point.length) {
      found = { point, type, device, options }
    }
  }
  if (found === undefined) return undefined
  const { type, device, options } = found
  return { type, device, options }
}

function readMounts(): string[] {
  try {
    return readFileSync('/proc/self/mounts', 'utf8').split('\n')
  } catch {
    return [] // not Linux
  }
}

function isInside(point: string, directory: string): boolean {
  const path = relative(point, directory)
  return !path.startsWith('..') && !isAbsolute(path)
}
