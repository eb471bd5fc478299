---@brief
---
--- https://github.com/layerwise/layerwise
---
--- Layerwise keeps container builds cached: it finds what loses the build cache in Dockerfiles,
--- GitHub Actions workflows, compose and bake files, and repairs it.
---
--- For Neovim 0.11 or newer: put this file into `lsp/` of your configuration, and call
--- `vim.lsp.enable('layerwise')`.

-- To Neovim, workflows and compose files are plain YAML, and bake files plain HCL or JSON; only these
-- are for Layerwise.
local files = {
  '/%.github/workflows/[^/]+%.ya?ml$',
  '/%.gitea/workflows/[^/]+%.ya?ml$',
  '/%.forgejo/workflows/[^/]+%.ya?ml$',
  '/compose[^/]*%.ya?ml$',
  '/docker%-compose[^/]*%.ya?ml$',
  '/action%.ya?ml$',
  '/docker%-bake[^/]*%.hcl$',
  '/docker%-bake[^/]*%.json$',
  '/%.layerwise%.yaml$',
}

local function is_ours(buffer)
  if vim.bo[buffer].filetype == 'dockerfile' then
    return true
  end
  local path = vim.fs.normalize(vim.api.nvim_buf_get_name(buffer))
  return vim.iter(files):any(function(pattern)
    return path:find(pattern) ~= nil
  end)
end

---@type vim.lsp.Config
return {
  cmd = { 'layerwise', 'server' },
  filetypes = { 'dockerfile', 'yaml', 'yaml.docker-compose', 'yaml.github', 'hcl', 'json' },
  -- The root is the repository: a workflow at its top says how a Dockerfile deep in it is built.
  root_dir = function(buffer, start)
    if not is_ours(buffer) then
      return
    end
    local folder = vim.fs.dirname(vim.api.nvim_buf_get_name(buffer))
    start(vim.fs.root(buffer, '.git') or vim.fs.root(buffer, { '.layerwise.yaml', '.github' }) or folder)
  end,
  -- The keys of `.layerwise.yaml`, for example `rules = { ['copy-without-link'] = 'info' }`.
  settings = { layerwise = vim.empty_dict() },
}
