#include "lib/report/page/frame.hpp"

#include "lib/report/page/html.hpp"
#include "lib/report/page/style.hpp"

#include <fmt/format.h>

namespace trireme::report {

std::string page_frame(std::string_view title, std::initializer_list<std::string> sections,
                       std::string_view footer) {
  std::string html = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
      escape(title), style_sheet());
  for (const std::string& section : sections)
    if (!section.empty()) html += section + "\n";
  return html + fmt::format("<footer>{}</footer>\n</main>\n</body>\n</html>\n", escape(footer));
}

std::string pill(std::string_view css, std::string_view head, std::string_view text) {
  return fmt::format("<span class=\"pill {}\"><b>{}</b> {}</span>", css, escape(head),
                     escape(text));
}

std::string page_header(std::string_view eyebrow, std::string_view title, std::string_view sub,
                        std::string_view pills) {
  return fmt::format(
      "<header><p class=\"eyebrow\">{}</p><h1>{}</h1><p class=\"sub\">{}</p><p "
      "class=\"pills\">{}</p></header>",
      escape(eyebrow), escape(title), escape(sub), pills);
}

std::string counted(std::size_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

}  // namespace trireme::report
