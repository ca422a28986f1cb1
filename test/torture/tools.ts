import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { Need } from './trial.ts'

/** Sources that are no TypeScript; this runs as dist/test/torture/tools.js. */
const SOURCES = resolve(import.meta.dirname, '../../../test/torture/native')

const HAS: Readonly<Record<Need, () => boolean>> = {
  root: () => process.getuid?.() === 0,
  strace: () => runs('strace', '-V'),
  gcc: () => runs('gcc', '--version'),
  prlimit: () => runs('prlimit', '--version'),
  mount: () => process.getuid?.() === 0 && canMount(),
}

const known = new Map<Need, boolean>()

/** What is missing here of what a fault needs. */
export function missing(needs: readonly Need[]): Need[] {
  return needs.filter(need => {
    const has = known.get(need) ?? HAS[need]()
    known.set(need, has)
    return !has
  })
}

/** Compiles `native/NAME.c` to `output`. @throws when the compiler refuses */
export function compile(name: string, output: string, flags: readonly string[] = []): string {
  const source = join(SOURCES, `${name}.c`)
  const { status, stderr } = spawnSync('gcc', ['-O1', '-Wall', ...flags, '-o', output, source])
  if (status !== 0 || !existsSync(output)) throw new Error(`gcc ${source}: ${stderr.toString()}`)
  return output
}

/** A user without any rights. */
export const NOBODY = 65_534

/**
 * Gives a directory and its contents to a user without rights, who can then reach it. Returns false
 * if that user could not run the service from where it is built.
 */
export function giveAway(directory: string): boolean {
  const program = resolve(import.meta.dirname, '../../src/main/index.js')
  const user = { uid: NOBODY, gid: NOBODY }
  const { status } = spawnSync(process.execPath, [program, '--version'], user)
  if (status !== 0) return false
  must('chown', '-R', '-h', `${NOBODY}:${NOBODY}`, directory)
  chmodSync(dirname(directory), 0o711)
  return true
}

/** Runs a program to its end. @throws when it fails, with what it said */
export function must(program: string, ...args: string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8' })
  if (status !== 0) {
    throw new Error(`${program} ${args.join(' ')}: ${stderr ?? ''} ${error?.message ?? ''}`)
  }
  return stdout
}

function runs(program: string, ...args: string[]): boolean {
  return spawnSync(program, args).status === 0
}

function canMount(): boolean {
  const path = mkdtempSync(join(tmpdir(), 'varve-mount-'))
  const mounted = runs('mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', path)
  if (mounted) runs('umount', path)
  rmSync(path, { recursive: true, force: true })
  return mounted
}
