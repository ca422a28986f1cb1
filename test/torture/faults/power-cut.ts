import { auditWhole, verifyWhole } from '../audit.ts'
import { Ledger } from '../ledger.ts'
import { Load } from '../load.ts'
import { SmallDisk } from '../mounts.ts'
import { damageIn, Refused, runCommand, Server } from '../server.ts'
import { compile, must } from '../tools.ts'
import { type Fault, sleep, Trial } from '../trial.ts'

const DISK_MEBIBYTES = 256
const CUTS = 3
const LIFE_MS = 500

export const powerCut: Fault = {
  name: 'power-cut',
  title:
    'ext4 on a loop device, shut down by ioctl without a flush under mixed load, mounted again; ' +
    'the same without syncs has to be caught',
  needs: ['mount', 'gcc'],
  cases: ({ rounds }) => [
    ...Array.from({ length: Math.ceil(rounds / 2) }, (_, count) => ({
      name: `run ${count}`,
      run: (trial: Trial) => cutOften(trial, {}),
    })),
    { name: 'without syncs', run: catchMissingSyncs },
  ],
}

/** Proof that the cut loses what was not synced: a service without syncs must not survive it. */
async function catchMissingSyncs(trial: Trial): Promise<void> {
  const shim = compile('shim', trial.path('shim.so'), ['-shared', '-fPIC', '-ldl'])
  const broken = new Trial(trial.random.below(1_000_000))
  try {
    await cutOften(broken, { LD_PRELOAD: shim, TORTURE_NO_SYNC: '1' })
  } finally {
    await broken.close()
  }
  const seen = broken.findings.filter(({ kind }) => kind === 'lost' || kind === 'refused')
  if (seen.length === 0) trial.find('wrong', 'a service that never syncs survived the power cuts')
}

async function cutOften(trial: Trial, env: Readonly<Record<string, string>>): Promise<void> {
  const cut = compile('powercut', trial.path('powercut'))
  const disk = SmallDisk.ext4(trial, DISK_MEBIBYTES)
  const ledger = new Ledger(trial)
  // After the cut every call fails, and so may every answer that is still on its way.
  let isCut = false
  const load = new Load(trial, ledger, {
    onRefusal: (what, { status, json }) => {
      if (!isCut) trial.find('refused', `${what}: ${status} ${String(json['code'])}`)
    },
  })
  try {
    for (let round = 0; round < CUTS; round += 1) {
      const server = await Server.start(trial, { data: disk.data, env })
      await auditWhole(trial, server.client, ledger)
      isCut = false
      const ended = load.run(server.client, () => isCut)
      await sleep(LIFE_MS + trial.random.below(LIFE_MS))
      isCut = true
      must(cut, disk.path)
      await ended
      await server.kill()
      disk.remount()
    }
    const last = await Server.start(trial, { data: disk.data, env })
    await auditWhole(trial, last.client, ledger)
    await verifyWhole(trial, last.client, ledger)
    await last.stop()
    const verified = await runCommand(['verify', '--data', disk.data])
    if (verified.code !== 0) trial.find('wrong', `varve verify: ${damageIn(verified)}`)
  } catch (error) {
    if (!(error instanceof Refused)) throw error
    trial.find('refused', `start: ${error.message}`)
  }
  trial.note('records accepted', load.accepted)
}
