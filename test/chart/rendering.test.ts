import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { generatedPages } from '../../docs/pages.ts'
import packageManifest from '../../package.json' with { type: 'json' }
import { loadPolicy } from '../../src/config/load.ts'
import { systemNamespaces } from '../../src/rules/virtual-host.ts'
import { runTool } from '../testbed/chart-tools.ts'
import { shells } from '../testbed/shells.ts'
import { chartFolder, helms, type Manifest, named, testChart } from './chart.ts'
import { valueSets } from './value-sets.ts'

await testChart('both Helms find nothing wrong with the chart', async (t, { helm }) => {
  for (const [what, values] of Object.entries(valueSets)) {
    for (const which of helms) {
      const { code, stdout, stderr } = await helm(which, ['lint', '--strict', chartFolder], values)
      t.equal(code, 0, `${which}: ${what}`, { stdout, stderr })
    }
  }
})

await testChart('both Helms make the same of it', async (t, { render }) => {
  const byName = (manifests: Manifest[]) => new Map(manifests.map((manifest) => [named(manifest).join(' '), manifest]))
  for (const [what, values] of Object.entries(valueSets)) {
    const [three, four] = await Promise.all(helms.map((which) => render(which, values)))
    t.ok(three !== undefined && three.length > 10, what)
    t.same(byName(three ?? []), byName(four ?? []), what)
  }
})

await testChart('what the leader fills is as other tests have it', async (t, { render }) => {
  const configurations = (await render('helm4')).filter(({ kind }) => kind.endsWith('WebhookConfiguration'))
  const bare = configurations.map(({ metadata: { labels: _, annotations: __, ...metadata }, ...rest }) => ({
    ...rest,
    metadata,
  }))
  const byKind = (one: { kind: string }, other: { kind: string }) => one.kind.localeCompare(other.kind)
  t.strictSame(bare.sort(byKind), shells.toSorted(byKind))
})

await testChart('its own suites pass', async (t, { tools, folder }) => {
  const { code, stdout, stderr } = await runTool(folder, tools.helmUnittest, ['--strict', chartFolder])
  t.equal(code, 0, 'helm-unittest', { stdout, stderr })
  t.match(stdout, /^Tests: +\d\d+ passed, /m)
})

await testChart('a Kubernetes that is too old is told so', async (t, { helm }) => {
  for (const which of helms) {
    const { code, stderr } = await helm(which, ['template', chartFolder, '--kube-version', '1.32.9'])
    t.equal(code, 1)
    t.match(stderr, 'chart requires kubeVersion: >=1.33.0-0 which is incompatible with Kubernetes v1.32.9')
    t.match(await helm(which, ['template', chartFolder, '--kube-version', '1.33.0-gke.1']), { code: 0 })
  }
})

await testChart('values that cannot be meant are refused in words', async (t, { helm }) => {
  const refused: [values: object, words: RegExp][] = [
    [{ replicas: 0 }, /replicas.*(minimum: got 0, want 1|greater than or equal to 1)/s],
    [{ replica: 3 }, /additional propert.*replica/i],
    [{ config: { pools: [] } }, /config.pools.*(minItems: got 0, want 1|at least 1 items)/s],
    [{ config: { pool: [{ cidr: '10.0.0.0/8' }] } }, /config.*additional propert.*pool/is],
    [{ config: { rules: { 'service-port-81': 'warn' } } }, /config.rules.*service-port-81/s],
    [{ image: { digest: 'sha256:0' } }, /image.digest.*pattern/s],
    [{ certificates: { mode: 'none' } }, /certificates.mode.*(self-managed)/s],
    [{ certificates: { mode: 'secret' } }, /certificates.mode is secret: name it, with certificates.secretName/],
    [{ certificates: { secretName: 'mine' } }, /certificates.secretName is for certificates.mode secret alone/],
    [
      { certificates: { certManager: { issuerRef: { name: 'corporate' } } } },
      /issuerRef is for certificates.mode cert-manager alone/,
    ],
    [
      { certificates: { mode: 'cert-manager', certManager: { issuerRef: { kind: 'ClusterIssuer' } } } },
      /issuerRef has no name/,
    ],
    [{ clientCA: { names: ['kube-apiserver'] } }, /clientCA.names is for nothing without clientCA.configMapName/],
  ]
  for (const [values, words] of refused) {
    for (const which of helms) {
      const { code, stderr } = await helm(which, ['template', chartFolder], values)
      t.equal(code, 1, JSON.stringify(values))
      t.match(stderr, words, which)
    }
  }
})

await testChart('it is not put where no webhook is asked', async (t, { helm }) => {
  for (const namespace of systemNamespaces) {
    const { code, stderr } = await helm('helm4', ['template', chartFolder, '--namespace', namespace])
    t.equal(code, 1)
    t.match(stderr, `meshvip cannot be in ${namespace}`)
  }
})

await testChart('a parent chart can have it', async (t, { render }) => {
  t.ok(await render('helm4', { global: { imageRegistry: 'elsewhere' }, enabled: true }))
})

await testChart('the configuration comes to the webhook as it stands in the values', async (t, { render }) => {
  const page = (await generatedPages()).get('docs/configuration.md') ?? ''
  const example = /```yaml\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
  for (const config of [{}, parse(example)]) {
    const written = (await render('helm3', { config })).find(({ kind }) => kind === 'ConfigMap')?.data as object
    const text = (written as Record<string, string>)['config.yaml'] ?? ''
    t.same(loadPolicy(text, 'config.yaml'), loadPolicy(JSON.stringify(config), 'config.yaml'))
  }
})

await testChart('no right is for everything, none is on Secrets of the whole cluster', async (t, { render }) => {
  type Rule = { apiGroups: string[]; resources: string[]; verbs: string[] }
  const rulesOf = ({ rules }: Manifest) => rules as Rule[]
  for (const values of Object.values(valueSets)) {
    const manifests = await render('helm4', values)
    const roles = manifests.filter(({ kind }) => kind.endsWith('Role'))
    t.equal(roles.length, 2)
    const words = roles.flatMap(rulesOf).flatMap((rule) => [...rule.apiGroups, ...rule.resources, ...rule.verbs])
    t.notOk(words.some((word) => word.includes('*')))
    t.notOk(
      roles
        .filter(({ kind }) => kind === 'ClusterRole')
        .flatMap(rulesOf)
        .some((rule) => rule.resources.includes('secrets')),
    )
  }
})

await testChart('it is of the version of the package', async (t) => {
  const { version, appVersion } = parse(await readFile(`${chartFolder}/Chart.yaml`, 'utf8'))
  t.strictSame({ version, appVersion }, { version: packageManifest.version, appVersion: packageManifest.version })
})
