import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parse } from 'yaml'
import { findOrBuildBinaries } from '../testbed/binaries.ts'
import { runTool } from '../testbed/chart-tools.ts'
import { apply } from '../testbed/webhook.ts'
import { chartFolder, type Manifest, namespace, testChart, testChartOnControlPlane } from './chart.ts'
import { writeAsLeader, writtenByLeader } from './leader.ts'

const page = await readFile(join(import.meta.dirname, '../../docs/gitops.md'), 'utf8')

/** The manifests of a section of the page. */
const manifestsOf = (section: string): string[] => {
  const [, body = ''] = page.split(`\n## ${section}\n`)
  return [...(body.split('\n## ')[0] ?? '').matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, block = '']) => block)
}

const [ofOutput = '', ofChart = ''] = manifestsOf('kustomize')

/** A folder with a kustomization and the file that it names. */
const kustomization = async (folder: string, resources: Manifest[]): Promise<string> => {
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'kustomization.yaml'), ofOutput)
  await writeFile(join(folder, 'meshvip.yaml'), resources.map((one) => JSON.stringify(one)).join('\n---\n'))
  return folder
}

/** It has the API server warn of pods that have more rights than they should. */
const strictNamespace = {
  apiVersion: 'v1',
  kind: 'Namespace',
  metadata: { name: namespace, labels: { 'pod-security.kubernetes.io/warn': 'restricted' } },
}

for (const [how, flags] of [
  ['by the client', []],
  ['by the server', ['--server-side']],
] as const) {
  await testChartOnControlPlane(`what is applied ${how} again and again resets nothing`, async (t, chart, cluster) => {
    await apply(cluster, JSON.stringify(strictNamespace))
    const folder = await kustomization(join(chart.folder, 'base'), await chart.render('helm4'))
    const applyAll = async (what: string) => {
      const { code, stderr } = await cluster.kubectl(['apply', ...flags, '-k', folder])
      t.strictSame({ code, stderr }, { code: 0, stderr: '' }, what)
    }
    const written = () => writtenByLeader(cluster, 'meshvip-tls')

    await applyAll('the first time')
    await writeAsLeader(t, cluster, 'meshvip-tls')
    const before = await written()
    await applyAll('after the leader wrote')
    t.strictSame(await written(), before, 'what the leader wrote is as it was')
    const { code, stdout } = await cluster.kubectl(['diff', ...flags, '-k', folder])
    t.strictSame({ code, stdout }, { code: 0, stdout: '' }, 'there is no drift')

    await kustomization(folder, await chart.render('helm4', { labels: { changed: 'true' } }))
    await applyAll('another version of it')
    t.strictSame(await written(), before, 'what the leader wrote is as it was')
    await writeAsLeader(t, cluster, 'meshvip-tls')
    t.strictSame(await written(), before, 'nor has the leader a conflict')
  })
}

await testChart('kustomize renders the chart as Helm does', async (t, chart) => {
  const binaries = await findOrBuildBinaries((line) => t.comment(line))
  if ('missing' in binaries) return t.comment(binaries.missing)
  await cp(dirname(chartFolder), join(chart.folder, 'charts'), { recursive: true })
  await writeFile(join(chart.folder, 'kustomization.yaml'), ofChart)
  const args = ['kustomize', '--enable-helm', '--helm-command', chart.tools.helm3, chart.folder]
  const { code, stdout, stderr } = await runTool(chart.folder, binaries.kubectl, args)
  t.equal(code, 0, 'kubectl kustomize', { stderr })
  t.match(stdout, 'image: images.example.com/meshvip:0.1.0')
})

await testChart('the values of the pages are values of the chart', async (t, chart) => {
  const [release = ''] = manifestsOf('Flux')
  const [application = ''] = manifestsOf('Argo CD')
  const shown = [parse(release).spec.values, parse(application).spec.source.helm.valuesObject]
  for (const values of shown) {
    const deployment = (await chart.render('helm4', values)).find(({ kind }) => kind === 'Deployment')
    t.match(JSON.stringify(deployment), 'images.example.com/meshvip:')
  }
})
