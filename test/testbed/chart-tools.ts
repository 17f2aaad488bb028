import { createHash } from 'node:crypto'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buildWithGo, folderNamedBy, type Missing } from './binaries.ts'
import { cachedFolder, cacheRoot, exists, type Log } from './cache.ts'
import { type GoModule, readGoModule, runGo, whyNoGo } from './go.ts'
import { type ProgramResult, runProgram } from './programs.ts'

/** Absolute paths. `crds` are YAML files, one CRD each, of the kinds that the chart can make and Kubernetes does not have. */
export type ChartTools = { helm3: string; helm4: string; helmUnittest: string; kubeconform: string; crds: string[] }

const HELM_3 = 'helm.sh/helm/v3'
const HELM_4 = 'helm.sh/helm/v4'
const UNITTEST = 'github.com/helm-unittest/helm-unittest'
const KUBECONFORM = 'github.com/yannh/kubeconform'
/** Modules that carry CRDs, each with the hash that go.sum would have of it. */
const CRDS = [
  {
    module: 'github.com/cert-manager/cert-manager@v1.21.2',
    sum: 'h1:UWgoYM+KLNtRlqmoWOKjKBOBUPVHeepQ6/ac3ERJW68=',
    folder: 'deploy/crds',
    files: ['cert-manager.io_certificates.yaml', 'cert-manager.io_issuers.yaml'],
  },
  {
    module: 'github.com/prometheus-operator/prometheus-operator@v0.85.0',
    sum: 'h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=',
    folder: 'example/prometheus-operator-crd',
    files: ['monitoring.coreos.com_servicemonitors.yaml', 'monitoring.coreos.com_prometheusrules.yaml'],
  },
]
const NAMES = ['helm3', 'helm4', 'helm-unittest', 'kubeconform']

/**
 * What it takes to test the chart: from the folder CHART_TOOLS, else from the cache, else built with Go into the cache. Throws where
 * the variable names something that is not there, and where a build fails (with the end of its log).
 */
export const findOrBuildChartTools = async (log: Log): Promise<ChartTools | Missing> => {
  const module = await readGoModule(join(import.meta.dirname, 'chart-tools'))
  const folder = (await folderNamedBy('CHART_TOOLS', NAMES)) ?? (await built(module, log))
  if (typeof folder !== 'string') return folder
  const crds = await findCrds(module, log)
  if ('missing' in crds) return crds
  return {
    helm3: join(folder, 'helm3'),
    helm4: join(folder, 'helm4'),
    helmUnittest: join(folder, 'helm-unittest'),
    kubeconform: join(folder, 'kubeconform'),
    crds,
  }
}

const findCrds = async (module: GoModule, log: Log): Promise<string[] | Missing> => {
  const key = createHash('sha256').update(JSON.stringify(CRDS)).digest('hex').slice(0, 16)
  const path = join(cacheRoot(), `chart-crds-${key}`)
  const files = CRDS.flatMap((source) => source.files.map((file) => join(path, file)))
  if (await exists(path)) return files
  const reason = await whyNoGo(module)
  if (reason !== undefined)
    return { missing: `No CRDs of cert-manager and prometheus-operator: install Go (${reason}).` }
  const fill = async (folder: string): Promise<void> => {
    for (const source of CRDS) {
      // They are not in go.mod: what they require would be built into the tools.
      const answer = await runGo(module, ['mod', 'download', '-json', source.module], `${path}.log`)
      const { Dir = '', Sum } = JSON.parse(answer) as { Dir?: string; Sum?: string }
      if (Sum !== source.sum) throw new Error(`${source.module} is not what it was: its hash is ${Sum}`)
      for (const file of source.files) await copyFile(join(Dir, source.folder, file), join(folder, file))
    }
  }
  await cachedFolder(path, fill, log)
  return files
}

const built = (module: GoModule, log: Log): Promise<string | Missing> => {
  const kubernetesMinor = module.version('k8s.io/client-go').split('.')[1]
  // What Helm's own builds are stamped with. Without it Helm 3 takes the cluster of `helm template` to be Kubernetes 1.20; Helm 4, and
  // helm-unittest with the chart's rules, read the version of their own modules.
  const stamps = [
    `${HELM_3}/internal/version.version=${module.version(HELM_3)}`,
    `${HELM_4}/internal/version.version=${module.version(HELM_4)}`,
    ...['chartutil', 'lint/rules'].flatMap((name) => [
      `${HELM_3}/pkg/${name}.k8sVersionMajor=1`,
      `${HELM_3}/pkg/${name}.k8sVersionMinor=${kubernetesMinor}`,
    ]),
  ]
  const flags = ['-trimpath', '-ldflags', `-s -w ${stamps.map((stamp) => `-X ${stamp}`).join(' ')}`]
  return buildWithGo(
    {
      module,
      what: `Helm ${module.version(HELM_3)} and ${module.version(HELM_4)}, helm-unittest ${module.version(UNITTEST)} and kubeconform ${module.version(KUBECONFORM)}`,
      minutes: 4,
      otherwise: `nothing to test the chart with: set CHART_TOOLS to a folder with ${NAMES.join(', ')}`,
      builds: [
        { output: 'helm3', flags: [...flags, `${HELM_3}/cmd/helm`] },
        { output: 'helm4', flags: [...flags, `${HELM_4}/cmd/helm`] },
        { output: '', flags: [...flags, `${UNITTEST}/cmd/helm-unittest`, `${KUBECONFORM}/cmd/kubeconform`] },
      ],
    },
    log,
  )
}

/** Runs one of the tools on a cluster, or on none, with `home` in place of whatever is configured on this machine. */
export const runTool = (home: string, tool: string, args: string[], kubeconfig = '/dev/null'): Promise<ProgramResult> =>
  runProgram(tool, args, { env: { HOME: home, PATH: process.env.PATH, TMPDIR: home, KUBECONFIG: kubeconfig } })
