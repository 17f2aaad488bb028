import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parse, parseAllDocuments } from 'yaml'
import { testOnControlPlane } from '../e2e/cluster.ts'
import { type ChartTools, findOrBuildChartTools, runTool } from '../testbed/chart-tools.ts'
import type { ControlPlane } from '../testbed/control-plane.ts'
import { installCrds } from '../testbed/crds.ts'
import type { ProgramResult } from '../testbed/programs.ts'

export const chartFolder = join(import.meta.dirname, '../../charts/meshvip')

export const namespace = 'mesh-system'

export type Manifest = {
  apiVersion: string
  kind: string
  metadata: {
    name: string
    namespace?: string
    labels?: Record<string, string>
    annotations?: Record<string, string>
  }
} & Record<string, unknown>

export const helms = ['helm3', 'helm4'] as const
export type Helm = (typeof helms)[number]

export type Charting = {
  tools: ChartTools
  /** A folder that is gone with the test. */
  folder: string
  /** Runs a Helm with values, on the cluster of a kubeconfig or on none. */
  helm: (which: Helm, args: string[], values?: object, kubeconfig?: string) => Promise<ProgramResult>
  /** What the chart makes of values for the release `meshvip`; throws with what Helm said where it makes nothing. */
  render: (which: Helm, values?: object) => Promise<Manifest[]>
}

const charting = async (t: Test, tools: ChartTools): Promise<Charting> => {
  const folder = await mkdtemp(join(tmpdir(), 'meshvip-chart-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const helm: Charting['helm'] = async (which, args, values, kubeconfig) => {
    const file = join(folder, 'values.json')
    await writeFile(file, JSON.stringify(values ?? {}))
    return runTool(folder, tools[which], values === undefined ? args : [...args, '--values', file], kubeconfig)
  }
  const render: Charting['render'] = async (which, values = {}) => {
    const { code, stdout, stderr } = await helm(which, ['template', 'meshvip', chartFolder, '-n', namespace], values)
    if (code !== 0) throw new Error(stderr)
    return parseAllDocuments(stdout).flatMap((document) => (document.toJS() as Manifest | null) ?? [])
  }
  return { tools, folder, helm, render }
}

/** Runs a test with the tools; skips it where there are none: the runner says so before it comes to that. */
export const testChart = async (story: string, run: (t: Test, chart: Charting) => Promise<void>): Promise<void> => {
  const tools = await findOrBuildChartTools((line) => t.comment(line))
  if ('missing' in tools) await t.test(story, { skip: tools.missing }, async () => {})
  else await t.test(story, async (t) => run(t, await charting(t, tools)))
}

/** As testChart, with a real API server that has none of ours. */
export const testChartOnControlPlane = async (
  story: string,
  run: (t: Test, chart: Charting, controlPlane: ControlPlane) => Promise<void>,
): Promise<void> => {
  const tools = await findOrBuildChartTools((line) => t.comment(line))
  if ('missing' in tools) await t.test(story, { skip: tools.missing }, async () => {})
  else await testOnControlPlane(story, async (t, controlPlane) => run(t, await charting(t, tools), controlPlane))
}

/** How kubectl names the object of a manifest. */
export const named = ({ apiVersion, kind, metadata }: Manifest): string[] => {
  const [version = '', group] = apiVersion.split('/').reverse()
  const type = group === undefined ? kind : `${kind}.${version}.${group}`
  return [`${type}/${metadata.name}`, ...(metadata.namespace === undefined ? [] : ['-n', metadata.namespace])]
}

/** Installs the kinds of other projects that the chart can make. */
export const installOptionalKinds = async ({ tools }: Charting, { kubectl }: ControlPlane): Promise<void> =>
  installCrds(kubectl, await Promise.all(tools.crds.map(async (file) => parse(await readFile(file, 'utf8')))))
