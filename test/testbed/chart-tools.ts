import { join } from 'node:path'
import { buildWithGo, folderNamedBy, type Missing } from './binaries.ts'
import type { Log } from './cache.ts'
import { readGoModule } from './go.ts'
import { type ProgramResult, runProgram } from './programs.ts'

/** Absolute paths. */
export type ChartTools = { helm3: string; helm4: string; helmUnittest: string; kubeconform: string }

const HELM_3 = 'helm.sh/helm/v3'
const HELM_4 = 'helm.sh/helm/v4'
const UNITTEST = 'github.com/helm-unittest/helm-unittest'
const KUBECONFORM = 'github.com/yannh/kubeconform'
const NAMES = ['helm3', 'helm4', 'helm-unittest', 'kubeconform']

/**
 * What it takes to test the chart: from the folder CHART_TOOLS, else from the cache, else built with Go into the cache. Throws where
 * the variable names something that is not there, and where a build fails (with the end of its log).
 */
export const findOrBuildChartTools = async (log: Log): Promise<ChartTools | Missing> => {
  const folder = (await folderNamedBy('CHART_TOOLS', NAMES)) ?? (await built(log))
  if (typeof folder !== 'string') return folder
  return {
    helm3: join(folder, 'helm3'),
    helm4: join(folder, 'helm4'),
    helmUnittest: join(folder, 'helm-unittest'),
    kubeconform: join(folder, 'kubeconform'),
  }
}

const built = async (log: Log): Promise<string | Missing> => {
  const module = await readGoModule(join(import.meta.dirname, 'chart-tools'))
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
