import { defineConfig } from "vitest/config"

// Two projects, because they need different patience: rules and codecs run in parallel threads of work,
// end-to-end tests start real agents, buildouts and services and would fight for the machine's cores.
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/e2e/**"],
          // A soak tries many more generated cases (test/support/fuzz.ts).
          testTimeout: process.env["SLAPGRID_SOAK"] === "1" ? 600_000 : 60_000,
        },
      },
      {
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          fileParallelism: false,
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
})
