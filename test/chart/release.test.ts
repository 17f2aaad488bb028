import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Test } from 'tap'
import { makeNamespace, serviceManifest, submit, until } from '../e2e/cluster.ts'
import type { ControlPlane } from '../testbed/control-plane.ts'
import {
  type Charting,
  chartFolder,
  type Helm,
  helms,
  installOptionalKinds,
  type Manifest,
  named,
  namespace,
  testChartOnControlPlane,
} from './chart.ts'
import { asOurs, registration, writeAsLeader, writtenByLeader } from './leader.ts'
import { valueSets } from './value-sets.ts'

/** The Secret that the leader writes. */
const secretOf = (values: object): string | undefined => ('certificates' in values ? undefined : 'meshvip-tls')

const release = ({ helm }: Charting, { kubeconfig }: ControlPlane) => {
  const run = async (t: Test, which: Helm, args: string[], values?: object): Promise<void> => {
    const { code, stderr } = await helm(which, [...args, '--namespace', namespace], values, kubeconfig)
    t.equal(code, 0, `${which} ${args[0]}`, { stderr })
  }
  return {
    install: (t: Test, which: Helm, values: object) =>
      run(t, which, ['install', 'meshvip', chartFolder, '--create-namespace'], values),
    upgrade: (t: Test, which: Helm, values: object, ...more: string[]) =>
      run(t, which, ['upgrade', 'meshvip', chartFolder, ...more], values),
    rollback: (t: Test, which: Helm) => run(t, which, ['rollback', 'meshvip']),
    uninstall: (t: Test, which: Helm) => run(t, which, ['uninstall', 'meshvip']),
  }
}

/** Those of the objects that are in the cluster, sorted. */
const present = async (controlPlane: ControlPlane, manifests: Manifest[]): Promise<string[]> => {
  const args = ['get', '--ignore-not-found', '-o', 'json']
  const { stdout, stderr } = await submit(controlPlane, args, { apiVersion: 'v1', kind: 'List', items: manifests })
  if (stderr !== '') throw new Error(stderr)
  return namesOf(stdout === '' ? [] : (JSON.parse(stdout).items as Manifest[]))
}

const namesOf = (manifests: Manifest[]): string[] => manifests.map((manifest) => named(manifest).join(' ')).sort()

/** A label by which an upgrade changes every object. */
const upgraded = (values: object, by: string) => ({ ...values, labels: { upgraded: by } })

const isUpgraded = async (t: Test, { kubectl }: ControlPlane, by: string): Promise<void> => {
  const kinds = 'lease,validatingwebhookconfiguration,mutatingwebhookconfiguration'
  const { stdout } = await kubectl(['get', kinds, '-n', namespace, '-l', `upgraded=${by}`, '-o', 'name'])
  t.equal(stdout.trim().split('\n').length, 3, `the chart's own fields are those of ${by}`)
}

await testChartOnControlPlane('a release comes, is upgraded, and goes without a trace', async (t, chart, cluster) => {
  await installOptionalKinds(chart, cluster)
  const { install, upgrade, uninstall } = release(chart, cluster)
  for (const which of helms) {
    for (const [what, values] of Object.entries(valueSets)) {
      await t.test(`${which}: ${what}`, async (t) => {
        const secret = secretOf(values)
        await install(t, which, values)
        const manifests = await chart.render(which, values)
        t.strictSame(await present(cluster, manifests), namesOf(manifests), 'all is there')
        await writeAsLeader(t, cluster, secret)
        const written = await writtenByLeader(cluster, secret)
        await upgrade(t, which, upgraded(values, which))
        await isUpgraded(t, cluster, which)
        t.strictSame(await writtenByLeader(cluster, secret), written, 'what the leader wrote is as it was')
        await uninstall(t, which)
        t.strictSame(await present(cluster, manifests), [], 'nothing is left')
      })
    }
  }
})

await testChartOnControlPlane('a release that passes from one Helm to the other', async (t, chart, cluster) => {
  const { install, upgrade, rollback, uninstall } = release(chart, cluster)
  const secret = 'meshvip-tls'
  await install(t, 'helm3', {})
  await writeAsLeader(t, cluster, secret)
  const written = await writtenByLeader(cluster, secret)
  const steps: [Helm, string, ...string[]][] = [
    ['helm4', 'Helm-4'],
    ['helm4', 'Helm-4-by-server-side-apply', '--server-side=true'],
    ['helm4', 'Helm-4-by-client-side-apply', '--server-side=false'],
    ['helm3', 'Helm-3-again'],
  ]
  for (const [which, by, ...more] of steps) {
    await upgrade(t, which, upgraded({}, by), ...more)
    await isUpgraded(t, cluster, by)
    t.strictSame(await writtenByLeader(cluster, secret), written, 'what the leader wrote is as it was')
  }
  for (const which of helms) {
    await rollback(t, which)
    t.strictSame(await writtenByLeader(cluster, secret), written, 'nor does a rollback change it')
  }
  await uninstall(t, 'helm4')
  t.strictSame(await present(cluster, await chart.render('helm4')), [], 'nothing is left')
})

const breakGlass = await readFile(join(import.meta.dirname, '../../docs/operations/break-glass.md'), 'utf8')

/** The words of the line of the page that begins so, without its comment. */
const lineOf = (begin: string): string[] => {
  const line = breakGlass.split('\n').find((one) => one.startsWith(begin)) ?? ''
  const words = line.replace(/ +#.*/, '').match(/(?:[^\s']|'[^']*')+/g) ?? []
  return words.map((word) => word.replaceAll("'", ''))
}

await testChartOnControlPlane('the glass is broken, and mended, as the page has it', async (t, chart, cluster) => {
  const { install } = release(chart, cluster)
  await makeNamespace(cluster, 'shop')
  const bad = serviceManifest('shop', 'bad', { ports: [{ name: 'http', port: 80 }] })
  const refusal = async () => (await submit(cluster, ['create', '--dry-run=server'], bad)).stderr
  const kubectl = async (begin: string) => {
    const [, ...args] = lineOf(begin)
    const { code, stdout, stderr } = await cluster.kubectl(args)
    t.equal(code, 0, args.join(' '), { stderr })
    return stdout
  }
  await install(t, 'helm4', { admissionPolicies: { staticRules: true } })
  await writeAsLeader(t, cluster, undefined)
  t.ok(await until(async () => (await refusal()).includes('meshvip-static-rules')), 'the API server refuses by itself')

  for (const which of helms) {
    await kubectl('kubectl delete validatingwebhookconfiguration')
    await kubectl('kubectl delete validatingadmissionpolicy ')
    t.ok(await until(async () => (await refusal()) === ''), 'nothing is refused any more')
    const again = await submit(asOurs(cluster), ['apply', '--server-side'], registration().validating)
    t.match(again.stderr, /cannot (patch|create) resource "validatingwebhookconfigurations"/, 'nor may we change that')

    const [, ...args] = lineOf('helm upgrade').map((word) => (word === 'CHART' ? chartFolder : word))
    args[args.indexOf('--namespace') + 1] = namespace
    const { code, stderr } = await chart.helm(which, args, undefined, cluster.kubeconfig)
    t.equal(code, 0, `${which} ${args.join(' ')}`, { stderr })
    await writeAsLeader(t, cluster, undefined)
    t.match(await kubectl('kubectl get validatingwebhookconfiguration'), /^virtual-hosts\.meshvip\.dev Fail$/m)
    t.ok(await until(async () => (await refusal()).includes('meshvip-static-rules')))
  }
})
